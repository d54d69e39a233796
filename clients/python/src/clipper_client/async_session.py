"""A websocket to one application, for asyncio: many questions are under way at once.

Where the server restarts, it goes on over another one.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from types import TracebackType
from typing import Any, Self, Unpack

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from clipper_client.answers import Answer, FeedbackResult
from clipper_client.errors import UNREACHABLE, ClipperError
from clipper_client.messages import (
    MOST_IN_FLIGHT,
    Reply,
    feedback,
    item_of,
    prediction,
    reply_of,
    says_restart,
    socket_failures_told,
    socket_path,
    unexpected,
)
from clipper_client.operations.options import UNSET, QueryOptions
from clipper_client.wire import Address


class AsyncSession:
    """Questions over one connection; open it with `async with`."""

    def __init__(self, app: str, *, address: Address, timeout_s: float) -> None:
        self._app = app
        self._address = address
        self._timeout_s = timeout_s
        self._numbers = count(1)
        self._room = asyncio.Semaphore(MOST_IN_FLIGHT)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        # The questions without a reply.
        self._under_way: dict[int, str] = {}
        self._open = AsyncExitStack()
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with socket_failures_told(self._address):
            self._socket = await self._connected()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._open.aclose()
        if self._reader is not None:
            await self._reader

    async def predict(self, row: Any, **options: Unpack[QueryOptions]) -> Answer:
        number = next(self._numbers)
        reply = await self._asked(number, prediction(number, row, options=options))
        if isinstance(reply, Answer):
            return reply
        raise unexpected(reply)

    async def feedback(
        self, query_id: str | Answer, *, label: Any = UNSET, reward: float | None = None
    ) -> FeedbackResult:
        item = item_of(query_id, label=label, reward=reward)
        number = next(self._numbers)
        reply = await self._asked(number, feedback(number, item))
        if isinstance(reply, FeedbackResult):
            return reply
        raise unexpected(reply)

    async def _asked(self, number: int, message: str) -> Reply:
        async with self._room:
            if self._socket is None or self._reader is None or self._reader.done():
                raise ClipperError("The websocket isn't open.", code=UNREACHABLE)
            future = asyncio.get_running_loop().create_future()
            self._waiting[number] = future
            self._under_way[number] = message
            try:
                with socket_failures_told(self._address):
                    await self._send(self._socket, message)
                    return await asyncio.wait_for(future, self._timeout_s)
            finally:
                del self._waiting[number]
                self._under_way.pop(number, None)

    async def _connected(self) -> ClientConnection:
        connecting = connect(
            self._address.socket(socket_path(self._app)),
            additional_headers=self._address.headers,
            open_timeout=self._timeout_s,
            max_size=None,
            proxy=None,
        )
        return await self._open.enter_async_context(connecting)

    async def _send(self, socket: ClientConnection, message: str) -> None:
        """Send a question; where the server restarts, whoever reads sends it again."""
        try:
            await socket.send(message)
        except ConnectionClosed as closed:
            if not says_restart(closed):
                raise

    async def _read(self) -> None:
        """Hand each reply to whoever waits for it; when the socket ends, the end to all of them."""
        try:
            with socket_failures_told(self._address):
                while await self._read_to_the_end():
                    await self._go_on()
            ended = ClipperError("The websocket was closed.", code=UNREACHABLE)
        except ClipperError as error:
            ended = error
        for number in list(self._waiting):
            self._settle(number, ended)

    async def _read_to_the_end(self) -> bool:
        """Take replies until the socket ends; tell whether that is for the server restarts."""
        assert self._socket is not None  # noqa: S101
        try:
            async for text in self._socket:
                number, reply = reply_of(text, app=self._app)
                self._under_way.pop(number, None)
                self._settle(number, reply)
        except ConnectionClosed as closed:
            if not says_restart(closed):
                raise
            return True
        return False

    async def _go_on(self) -> None:
        """Connect again, and ask what has no reply."""
        self._socket = socket = await self._connected()
        for message in list(self._under_way.values()):
            await self._send(socket, message)

    def _settle(self, number: int, reply: Reply) -> None:
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(reply)
