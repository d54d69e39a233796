"""A websocket to one application, for programs that wait for each answer.

Where the server restarts, it goes on over another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import count
from threading import Lock
from types import TracebackType
from typing import Any, Self, Unpack

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from clipper_client.answers import Answer, FeedbackResult
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


class Session:
    """Questions over one connection; threads may share it, one of them at a time is served."""

    def __init__(self, app: str, *, address: Address, timeout_s: float) -> None:
        self._app = app
        self._address = address
        self._timeout_s = timeout_s
        self._numbers = count(1)
        self._turn = Lock()
        # Questions without a reply, those of which it is wanted, and replies not yet taken.
        self._under_way: dict[int, str] = {}
        self._wanted: set[int] = set()
        self._there: dict[int, Reply] = {}
        self._open = ExitStack()
        self._socket = self._connected()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def predict(self, row: Any, **options: Unpack[QueryOptions]) -> Answer:
        number = next(self._numbers)
        return _answer(self._asked(number, prediction(number, row, options=options)))

    def predict_many(
        self, rows: Iterable[Any], **options: Unpack[QueryOptions]
    ) -> Iterator[Answer]:
        """Yield the answers in order; a few dozen questions are under way at once.

        Between two answers the session may be asked other things, and be given feedback.
        """
        waiting: deque[int] = deque()
        try:
            for row in rows:
                if len(waiting) >= MOST_IN_FLIGHT:
                    yield _answer(self._reply_to(waiting.popleft()))
                number = next(self._numbers)
                self._send(number, prediction(number, row, options=options))
                waiting.append(number)
            while waiting:
                yield _answer(self._reply_to(waiting.popleft()))
        finally:
            for number in waiting:
                self._forget(number)

    def feedback(
        self, query_id: str | Answer, *, label: Any = UNSET, reward: float | None = None
    ) -> FeedbackResult:
        item = item_of(query_id, label=label, reward=reward)
        number = next(self._numbers)
        reply = self._asked(number, feedback(number, item))
        if isinstance(reply, FeedbackResult):
            return reply
        raise unexpected(reply)

    def _connected(self) -> ClientConnection:
        with socket_failures_told(self._address):
            connecting = connect(
                self._address.socket(socket_path(self._app)),
                additional_headers=self._address.headers,
                open_timeout=self._timeout_s,
                max_size=None,
                proxy=None,
            )
            return self._open.enter_context(connecting)

    def _asked(self, number: int, message: str) -> Reply:
        self._send(number, message)
        return self._reply_to(number)

    def _send(self, number: int, message: str) -> None:
        """Send a question once the server has room for it."""
        with self._turn:
            while len(self._under_way) >= MOST_IN_FLIGHT:
                self._read()
            self._under_way[number] = message
            self._wanted.add(number)
            with socket_failures_told(self._address):
                self._write(message)

    def _reply_to(self, number: int) -> Reply:
        try:
            with self._turn:
                while number not in self._there:
                    self._read()
                return self._there[number]
        finally:
            self._forget(number)

    def _read(self) -> None:
        """Keep the next reply for whoever waits for it."""
        with socket_failures_told(self._address):
            try:
                text = self._socket.recv(timeout=self._timeout_s)
            except ConnectionClosed as closed:
                if not says_restart(closed):
                    raise
                self._go_on()
                return
        number, reply = reply_of(text, app=self._app)
        self._under_way.pop(number, None)
        if number in self._wanted:
            self._there[number] = reply

    def _write(self, message: str) -> None:
        """Send a question; where the server restarts, whoever reads sends it again."""
        try:
            self._socket.send(message)
        except ConnectionClosed as closed:
            if not says_restart(closed):
                raise

    def _go_on(self) -> None:
        """Connect again, and ask what has no reply."""
        self._socket = self._connected()
        for message in self._under_way.values():
            self._write(message)

    def _forget(self, number: int) -> None:
        """Keep no reply to this question."""
        self._wanted.discard(number)
        self._there.pop(number, None)


def _answer(reply: Reply) -> Answer:
    if isinstance(reply, Answer):
        return reply
    raise unexpected(reply)
