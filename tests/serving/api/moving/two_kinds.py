"""Two servers, one of each kind of web process, that hand connections over to each other."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from serving.api.moving import Moves, MovingConnection
from serving.api.whose import Kind
from tests.serving.api.front_server import Front, running


def listening_at(path: Path, *, backlog: int = 16) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(backlog)
    return listening


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class TwoKinds:
    """Both have the same application; what their ASGI side says tells which was asked."""

    def __init__(self, folder: Path, *, seconds: float = 30.0) -> None:
        self.predict, self.console = Front(), Front()
        self.console.protocol = MovingConnection
        self.places = {kind: folder / str(kind) for kind in Kind}
        for it, kind, other in (
            (self.predict, Kind.PREDICT, Kind.CONSOLE),
            (self.console, Kind.CONSOLE, Kind.PREDICT),
        ):
            it.answer = b"of " + kind.encode()
            it.moves = Moves(own=kind, other=str(self.places[other]), seconds=seconds)

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[tuple[uvicorn.Server, uvicorn.Server]]:
        self.predict.arrivals = listening_at(self.places[Kind.PREDICT])
        self.console.arrivals = listening_at(self.places[Kind.CONSOLE])
        async with (
            running(self.predict, **options) as predict,
            running(self.console, **options) as console,
        ):
            yield predict, console
