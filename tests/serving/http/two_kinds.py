"""Two servers, one of each kind of web process: the first asks the second for what it has not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from serving.endpoints import paths
from serving.http.asgi import Routes
from serving.http.connections import Connections
from serving.http.passed_heads import PassedHeads
from serving.http.proxy import ANSWER_S, ConsoleProxy
from serving.http.server import Server
from serving.master.listening import listen
from serving.rpc.address import TcpAddress, UnixAddress
from tests.serving.http.front_server import Front, running

SECRET = b"a secret of 32 characters or more"


class Predict(Front):
    """Answers feedback itself, and asks the console for all else."""

    def __init__(self, console: ConsoleProxy) -> None:
        super().__init__()
        self._console = console

    def connections(self) -> Connections:
        own: Any = self.asgi
        connections = super().connections()
        routes = Routes((paths.FEEDBACK, own), otherwise=self._console.endpoint())
        connections.application = routes
        connections.websocket = self._console.websockets_beside(lambda path: None, routes=routes)
        return connections


class Console(Front):
    def connections(self) -> Connections:
        connections = super().connections()
        connections.application = PassedHeads(SECRET).read_by(connections.application)
        return connections


class TwoKinds:
    """Their answers say which was asked; the console listens at a Unix socket, or at a port."""

    def __init__(
        self, folder: Path, *, seconds: float = ANSWER_S, tcp: bool = False, secret: bytes = SECRET
    ) -> None:
        self.place = folder / "console.sock"
        self._bound = None if not tcp else listen("127.0.0.1:0")
        console = ConsoleProxy(
            TcpAddress(*self._bound.getsockname()) if self._bound else UnixAddress(self.place),
            heads=PassedHeads(secret),
            seconds=seconds,
        )
        self.predict = Predict(console)
        self.console = Console()
        self.console.direct = None
        self.predict.answer, self.console.answer = b"of predict", b"of console"

    def unbind(self) -> None:
        if self._bound is not None:
            self._bound.close()

    def listening(self) -> socket:
        return self._bound or listen(f"unix:{self.place}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Server, Server]]:
        self.console.listening = [self.listening()]
        async with running(self.console) as console, running(self.predict) as predict:
            yield predict, console


@pytest.fixture(params=["unix", "tcp"])
def two(tmp_path: Path, request: pytest.FixtureRequest) -> TwoKinds:
    return TwoKinds(tmp_path, tcp=request.param == "tcp")
