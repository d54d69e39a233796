"""A real replica that is thrown at with bytes stays up, and its other peers notice nothing."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings

from serving.container.server.listener import ContainerServer
from serving.rpc.frames.codec import Answer, AnswerStatus
from tests.serving.container.server.test_server import HELLO, LIMIT, LOOPBACK, Echo, Web
from tests.serving.rpc.frames.mutations import chunks

T = TypeVar("T")


class Target:
    """A replica on a loop of its own, in a thread, with one well-behaved peer."""

    def __init__(self, scheme: str, *, path: Path) -> None:
        self._listen = LOOPBACK if scheme == "tcp" else None
        self._server = ContainerServer(
            Echo(), hello=HELLO, address=f"unix:{path}", listen=self._listen
        )
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._peer = self._do(self._start())

    async def _start(self) -> Web:
        await self._server.start()
        return await Web.dial(self._server.address)

    def stop(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._peer.connection.close()
        self._server.drain()
        await self._server.wait_closed(LIMIT)
        await asyncio.sleep(0.05)  # lets what it cut off end

    def ask(self, raw: bytes) -> list[Answer]:
        """The well-behaved peer asks."""
        return self._do(self._peer.ask(raw))

    def throw(self, chunks: list[bytes]) -> bytes:
        """Send these on a connection of their own; return what the replica said to that."""
        scheme, _, place = self._server.address.partition(":")
        family = socket.AF_UNIX if scheme == "unix" else socket.AF_INET
        host, _, port = place.rpartition(":")
        with socket.socket(family) as stream:
            stream.settimeout(LIMIT)
            stream.connect(place if scheme == "unix" else (host, int(port)))
            said = b""
            with suppress(ConnectionError):  # it has hung up already
                for chunk in chunks:
                    stream.sendall(chunk)
                with suppress(OSError):
                    stream.shutdown(socket.SHUT_WR)
                while data := stream.recv(65536):
                    said += data
            return said

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)


@pytest.fixture(scope="module", params=["unix", "tcp"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    target = Target(request.param, path=tmp_path_factory.mktemp("s") / "r.sock")
    try:
        yield target
    finally:
        target.stop()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arriving=chunks())
def test_bytes_from_one_peer_cost_the_others_nothing(target: Target, arriving: list[bytes]) -> None:
    target.throw(arriving)
    assert target.ask(b"1") == [(AnswerStatus.OK, b"1")]
