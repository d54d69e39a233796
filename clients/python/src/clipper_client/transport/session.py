"""A websocket to one application, for many small questions.

Each message has a number, and so has its answer. If the server restarts, the session goes on over
another websocket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, Self, Unpack
from urllib.parse import quote

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from clipper_client.answers import Answer, FeedbackResult, feedback_item, known_as, parsed
from clipper_client.errors import UNEXPECTED_ANSWER, UNREACHABLE, ClipperError
from clipper_client.inputs import encoded, plain
from clipper_client.options import UNSET, QueryOptions, given
from clipper_client.transport.blocking import Blocking, blocking, iterating
from clipper_client.transport.server import Server, run, settled

Reply = Answer | FeedbackResult | ClipperError
# The server keeps so many open; what is sent beyond it is refused.
MOST_IN_FLIGHT = 64


@dataclass(eq=False, slots=True)
class _Waiter:
    """Somebody who waits until something is so, or until reading failed."""

    is_so: Callable[[], bool]
    event: Any
    error: ClipperError | None = None


class AsyncSession:
    """Questions over one connection; open it with `async with`."""

    def __init__(self, app: str, *, server: Server) -> None:
        self._app = app
        self._server = server
        self._path = f"/ws/v1/applications/{quote(app, safe='')}"
        self._numbers = count(1)
        # Only ever tried, never waited for: whoever has it reads for all the others.
        self._reading = Lock()
        self._waiting: list[_Waiter] = []
        # Held while it is decided over which websocket a question goes.
        self._choosing = Lock()
        # Questions without a reply, those of which it is wanted, and replies not yet taken.
        self._under_way: dict[int, str] = {}
        self._wanted: set[int] = set()
        self._replies: dict[int, Reply] = {}
        self._socket: Any = None

    async def __aenter__(self) -> Self:
        with self._server.address.failures():
            self._socket = await self._server.connect(self._path)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._socket is not None:
            await settled(self._socket.close())

    async def predict(self, row: Any, **options: Unpack[QueryOptions]) -> Answer:
        return await self._answer_to(await self._ask({"input": plain(row), **given(options)}))

    async def predict_many(
        self, rows: Iterable[Any], **options: Unpack[QueryOptions]
    ) -> AsyncGenerator[Answer]:
        """Yield the answers in order; a few dozen questions are under way at once.

        Between two answers the session may be asked other things, and be given feedback.
        """
        asked: deque[int] = deque()
        try:
            for row in rows:
                if len(asked) >= MOST_IN_FLIGHT:
                    yield await self._answer_to(asked.popleft())
                asked.append(await self._ask({"input": plain(row), **given(options)}))
            while asked:
                yield await self._answer_to(asked.popleft())
        finally:
            for number in asked:
                self._forget(number)

    async def feedback(
        self, query_id: str | Answer, *, label: Any = UNSET, reward: float | None = None
    ) -> FeedbackResult:
        item = feedback_item(query_id, label=label, reward=reward)
        reply = await self._reply_to(await self._ask({"type": "feedback", **item}))
        if isinstance(reply, FeedbackResult):
            return reply
        raise _unexpected(reply)

    async def _answer_to(self, number: int) -> Answer:
        reply = await self._reply_to(number)
        if isinstance(reply, Answer):
            return reply
        raise _unexpected(reply)

    async def _ask(self, message: Mapping[str, Any]) -> int:
        """Send a question once the server takes one more; return its number."""
        if self._socket is None:
            raise ClipperError("The websocket isn't open.", code=UNREACHABLE)
        number = next(self._numbers)
        await self._until(lambda: len(self._under_way) < MOST_IN_FLIGHT)
        text = encoded({"id": number, **message}).decode()
        self._wanted.add(number)
        with self._choosing:
            self._under_way[number] = text
            socket = self._socket
        try:
            with self._server.address.failures():
                await self._send(socket, text)
        except BaseException:
            self._under_way.pop(number, None)
            self._forget(number)
            raise
        return number

    async def _reply_to(self, number: int) -> Reply:
        try:
            await self._until(lambda: number in self._replies)
            return self._replies[number]
        finally:
            self._forget(number)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so: one who waits reads, and wakes the others."""
        waiter = _Waiter(is_so, self._server.event())
        self._waiting.append(waiter)
        try:
            while not is_so():
                if waiter.error is not None:
                    raise waiter.error
                if self._reading.acquire(blocking=False):
                    try:
                        while not is_so():
                            await self._read()
                    finally:
                        self._reading.release()
                else:
                    await settled(waiter.event.wait())
                    waiter.event.clear()
        except ClipperError as error:
            for other in self._waiting:
                other.error = error
                other.event.set()
            raise
        finally:
            self._waiting.remove(waiter)
            for other in self._waiting[:1]:
                other.event.set()  # to read in its place

    async def _read(self) -> None:
        """Keep the next reply if it is wanted, and wake whoever waits for it."""
        with self._server.address.failures():
            try:
                text = await self._server.receive(self._socket)
            except ConnectionClosed as closed:
                if not _is_restart(closed):
                    raise
                await self._reconnect()
                return
        number, reply = _reply_of(text, app=self._app)
        self._under_way.pop(number, None)
        if number in self._wanted:
            self._replies[number] = reply
        for waiter in list(self._waiting):
            if waiter.is_so():
                waiter.event.set()

    async def _reconnect(self) -> None:
        """Connect again, and ask what has no reply."""
        socket = await self._server.connect(self._path)
        with self._choosing:
            self._socket = socket
            questions = list(self._under_way.values())
        for text in questions:
            await self._send(socket, text)

    async def _send(self, socket: Any, text: str) -> None:
        """Send a question; if the server restarts, whoever reads sends it again."""
        try:
            await settled(socket.send(text))
        except ConnectionClosed as closed:
            if not _is_restart(closed):
                raise

    def _forget(self, number: int) -> None:
        """Keep no reply to this question."""
        self._wanted.discard(number)
        self._replies.pop(number, None)


class Session(Blocking[AsyncSession]):
    """Questions over one connection, which is open at once; threads may share it."""

    def __init__(self, awaited: AsyncSession) -> None:
        super().__init__(awaited)
        run(awaited.__aenter__())

    close = blocking(AsyncSession.close)
    predict = blocking(AsyncSession.predict)
    predict_many = iterating(AsyncSession.predict_many)
    feedback = blocking(AsyncSession.feedback)


def _is_restart(closed: ConnectionClosed) -> bool:
    """Return whether the server ended the connection because another process takes its place.

    Then it has answered all that it had begun with: what has no answer may be sent again.
    """
    return closed.rcvd is not None and closed.rcvd.code == CloseCode.SERVICE_RESTART


def _reply_of(text: str | bytes, *, app: str) -> tuple[int, Reply]:
    """Return the number of a message and what it says."""
    try:
        found = msgspec.json.decode(text)
        number = int(found.pop("id"))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
        raise ClipperError(
            f"Clipper sent something unexpected: {text[:80]!r}.", code=UNEXPECTED_ANSWER
        ) from None
    kind = found.pop("type", None)
    if kind == "error":
        said, code = str(found.get("error")), str(found.get("code"))
        return number, ClipperError(said, code=code, details=found.get("details"))
    if kind == "feedback":
        return number, parsed(FeedbackResult, found)
    return number, known_as(parsed(Answer, found), application=app)


def _unexpected(reply: Reply) -> ClipperError:
    if isinstance(reply, ClipperError):
        return reply
    return ClipperError(f"Clipper sent something unexpected: {reply}.", code=UNEXPECTED_ANSWER)
