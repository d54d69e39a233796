"""Two servers, one of each kind of web process: the first asks the second for what it has not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.endpoints import paths
from serving.http.asgi import Endpoint, Routes
from serving.http.connections import Connections
from serving.http.proxy import ANSWER_S, proxy_to
from serving.http.server import Server
from serving.master.listening import listen
from tests.serving.http.front_server import Front, running


class Predict(Front):
    """Answers feedback itself, and asks the console for all else."""

    def __init__(self, console: Endpoint) -> None:
        super().__init__()
        self._console = console

    def connections(self) -> Connections:
        own: Any = self.asgi
        connections = super().connections()
        connections.application = Routes((paths.FEEDBACK, own), otherwise=self._console)
        return connections


class TwoKinds:
    """Their answers say which was asked."""

    def __init__(self, folder: Path, *, seconds: float = ANSWER_S) -> None:
        self.place = folder / "console.sock"
        self.predict = Predict(proxy_to(str(self.place), seconds=seconds))
        self.console = Front()
        self.console.direct = None
        self.predict.answer, self.console.answer = b"of predict", b"of console"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Server, Server]]:
        self.console.listening = {"proxied": listen(f"unix:{self.place}")}
        async with running(self.console) as console, running(self.predict) as predict:
            yield predict, console


@pytest.fixture
def two(tmp_path: Path) -> TwoKinds:
    return TwoKinds(tmp_path)
