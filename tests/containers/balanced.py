"""What balances load between the containers that say they serve."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.integration.stack import TRUSTS_NOBODY, eventually

EVERY_S = 0.5


class Balanced:
    """A request goes where the last look found 200, as a Service or a proxy has it."""

    def __init__(
        self, hosts: Callable[[], list[str]], *, client: Callable[..., httpx.Client]
    ) -> None:
        """`hosts` are asked for again and again; `client` makes what asks the one of a turn."""
        self._hosts, self._client = hosts, client
        self._serving: tuple[str, ...] = ()
        self._turns = itertools.count()
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[Balanced]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            self.wait_for(len(self._hosts()))
            yield self
        finally:
            self._ended.set()
            thread.join(timeout=60)

    def wait_for(self, number: int) -> None:
        eventually(lambda: len(self._serving) == number, seconds=240, what=f"{number} that serve")

    def client(self, **changes: Any) -> httpx.Client:
        return self._client(transport=_Chosen(self), **changes)

    def chosen(self) -> str:
        serving = self._serving
        return serving[next(self._turns) % len(serving)]

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._serving = tuple(
                host for host in self._hosts() if serves(f"http://{host}:8000/health/serving")
            )


def serves(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, verify=TRUSTS_NOBODY).status_code == 200
    except httpx.HTTPError:
        return False


class _Chosen(httpx.BaseTransport):
    def __init__(self, balanced: Balanced) -> None:
        self._balanced = balanced
        self._over = httpx.HTTPTransport(verify=TRUSTS_NOBODY)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host=self._balanced.chosen(), port=8000)
        return self._over.handle_request(request)

    def close(self) -> None:
        self._over.close()
