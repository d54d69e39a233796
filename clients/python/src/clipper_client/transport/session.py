"""A websocket to one application, for many small questions; survives restarts of the server."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from itertools import count
from threading import Lock
from typing import Any, Self, Unpack
from urllib.parse import quote

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from clipper_client.answers import Answer, FeedbackResult, feedback_item, known_as, parsed
from clipper_client.clipper_error import ClipperError, unexpected
from clipper_client.inputs import encoded, plain
from clipper_client.options import UNSET, QueryOptions, given
from clipper_client.transport.blocking import Blocking, blocking, iterating
from clipper_client.transport.remote_server import Server, run, settled

Reply = Answer | FeedbackResult | ClipperError
# The server keeps so many open; what is sent beyond it is refused.
MOST_IN_FLIGHT = 64


class AsyncSession:
    """Questions over one connection; open it with `async with`."""

    def __init__(self, app: str, *, server: Server) -> None:
        self._app = app
        self._server = server
        self._path = f"/ws/v1/applications/{quote(app, safe='')}"
        self._numbers = count(1)
        # Held by the caller who reads, for itself and for all others.
        self._reading = server.lock()
        self._error: ClipperError | None = None
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
        question = {"input": plain(row), **given(options)}
        answer: Answer = await self._reply_to(await self._ask(question))
        return answer

    async def predict_many(
        self, rows: Iterable[Any], **options: Unpack[QueryOptions]
    ) -> AsyncGenerator[Answer]:
        """Yield the answers in order; other questions may be asked between two of them."""
        asked: deque[int] = deque()
        try:
            for row in rows:
                if len(asked) >= MOST_IN_FLIGHT:
                    yield await self._reply_to(asked.popleft())
                asked.append(await self._ask({"input": plain(row), **given(options)}))
            while asked:
                yield await self._reply_to(asked.popleft())
        finally:
            for number in asked:
                self._forget(number)

    async def feedback(
        self, query_id: str | Answer, *, label: Any = UNSET, reward: float | None = None
    ) -> FeedbackResult:
        item = feedback_item(query_id, label=label, reward=reward)
        result: FeedbackResult = await self._reply_to(await self._ask({"type": "feedback", **item}))
        return result

    async def _ask(self, message: Mapping[str, Any]) -> int:
        """Send a question once the server takes one more; return its number."""
        if self._socket is None:
            raise ClipperError("The websocket isn't open.", code="unreachable")
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

    async def _reply_to(self, number: int) -> Any:
        try:
            await self._until(lambda: number in self._replies)
            reply = self._replies[number]
            if isinstance(reply, ClipperError):
                raise reply
            return reply
        finally:
            self._forget(number)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Read until something is so, in turn with the others who wait."""
        while not is_so():
            await settled(self._reading.acquire())
            try:
                if self._error is not None:
                    raise self._error
                if not is_so():
                    await self._read()
            except ClipperError as error:
                self._error = error
                raise
            finally:
                self._reading.release()
            await settled(self._server.sleep(0))

    async def _read(self) -> None:
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

    async def _reconnect(self) -> None:
        socket = await self._server.connect(self._path)
        with self._choosing:
            self._socket = socket
            questions = list(self._under_way.values())
        for text in questions:
            await self._send(socket, text)

    async def _send(self, socket: Any, text: str) -> None:
        try:
            await settled(socket.send(text))
        except ConnectionClosed as closed:
            if not _is_restart(closed):
                raise

    def _forget(self, number: int) -> None:
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
    # The server has answered all that it had begun with: the rest may be sent again.
    return closed.rcvd is not None and closed.rcvd.code == CloseCode.SERVICE_RESTART


def _reply_of(text: str | bytes, *, app: str) -> tuple[int, Reply]:
    try:
        found = msgspec.json.decode(text)
        number = int(found.pop("id"))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
        raise unexpected(f"{text[:80]!r}") from None
    kind = found.pop("type", None)
    if kind == "error":
        said, code = str(found.get("error")), str(found.get("code"))
        return number, ClipperError(said, code=code, details=found.get("details"))
    if kind == "feedback":
        return number, parsed(FeedbackResult, found)
    return number, known_as(parsed(Answer, found), application=app)
