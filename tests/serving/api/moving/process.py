"""A web process of one kind: ``python -m tests.serving.api.moving.process KIND FOLDER LISTENING``.

It has what a test's server has: an application whose answers the cache knows, and an ASGI side
that says what it was asked. It listens on TCP, and takes connections over the inherited socket.
Once it does, it writes its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from serving.api.moving import Moves, MovingConnection
from serving.api.whose import Kind
from tests.serving.api.front_server import Front, running

# What it answers its output with where it is asked for so many bytes.
BLOCK = b"7" * (64 << 10)


class Process(Front):
    """Answers with what came: how long it was, and its digest."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.may_go_on = asyncio.Event()
        self.learn(*(b"[%d]" % number for number in range(100)))

    async def asgi(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        if scope["type"] != "http":
            await super().asgi(scope, receive, send)
            return
        digest, size, more = hashlib.sha256(), 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            digest.update(message.get("body", b""))
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/admin/go":
            self.may_go_on.set()
        elif scope["path"] == "/admin/hold":
            sys.stdout.write("held\n")
            sys.stdout.flush()
            await self.may_go_on.wait()
        elif scope["path"].startswith("/admin/blocks/"):
            await answer_blocks(int(scope["path"].rpartition("/")[2]), send)
            return
        self.answer = msgspec.json.encode([self.kind, scope["path"], size, digest.hexdigest()])
        await self.respond(send)


async def answer_blocks(count: int, send: Callable[..., Any]) -> None:
    headers = [(b"content-length", b"%d" % (count * len(BLOCK)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for left in reversed(range(count)):
        await send({"type": "http.response.body", "body": BLOCK, "more_body": left > 0})


async def serve(kind: Kind, *, folder: Path, listening: int) -> None:
    it = Process(kind)
    other = Kind.CONSOLE if kind is Kind.PREDICT else Kind.PREDICT
    # On a busy machine a process takes seconds to begin.
    it.moves = Moves(own=kind, other=str(folder / other), seconds=60.0)
    it.arrivals = socket.socket(fileno=listening)
    if kind is Kind.CONSOLE:
        it.protocol = MovingConnection
    async with running(it):
        sys.stdout.write(f"{it.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Kind(sys.argv[1]), folder=Path(sys.argv[2]), listening=int(sys.argv[3])))
