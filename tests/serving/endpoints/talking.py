"""A websocket that is played, and the talk of an application over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from serving.endpoints.websocket_talk import Talk
from serving.http.limits import Limits
from serving.http.websocket import WebSocket
from serving.testing import PlayedServing

SECONDS = 30.0


class PlayedSocket:
    """Gives the talk what a test says, and the test what it sends."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.is_closed = False
        self._said: asyncio.Queue[tuple[bytes, bool] | None] = asyncio.Queue()
        self._sent: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, message: str | bytes) -> None:
        is_text = isinstance(message, str)
        self._said.put_nowait((message.encode() if isinstance(message, str) else message, is_text))

    def leave(self) -> None:
        self.is_closed = True
        self._said.put_nowait(None)

    async def answer(self) -> dict[str, Any]:
        return json.loads(await asyncio.wait_for(self._sent.get(), SECONDS))

    # What a talk asks of its socket.

    async def receive(self) -> tuple[bytes, bool] | None:
        return await self._said.get()

    async def send(self, text: bytes) -> None:
        self._sent.put_nowait(text)

    def trust(self) -> None:
        """Its messages have no bounds."""

    def close_with(self, code: int, *, is_refusal: bool = False) -> None:
        self.is_closed = True


@asynccontextmanager
async def talking(serving: PlayedServing) -> AsyncIterator[PlayedSocket]:
    socket = PlayedSocket()
    talk = Talk(cast(WebSocket, socket), runtime=serving.runtime, name="digits", authorization=None)
    running = asyncio.create_task(talk.run())
    try:
        yield socket
    finally:
        socket.leave()
        await asyncio.wait_for(running, SECONDS)
