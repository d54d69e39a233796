"""The connections of one web process, and the state that they share."""

import asyncio
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from time import time
from typing import Any, Protocol

from core.loop.loop_slices import LaterWork
from serving.http.asgi import Endpoint
from serving.http.limits import Limits

# Returns what makes the protocol of a websocket by its path, if it has one.
Websockets = Callable[[str], Callable[..., asyncio.Protocol] | None]


class DirectAnswers(Protocol):
    """Answers plain requests from their bytes, without a task."""

    def find(self, head: bytes) -> tuple[Any, int, bytes] | None:
        """Return a known head, the length of its body and the request's id."""

    def begin(self, head: Any, body: bytes, *, arrived: float) -> Any:
        """Return the open query; None if the application has to answer."""

    def answer(self, question: Any, *, body: bytes) -> bytes:
        """Return the JSON of the answer to a settled question; raise ClipperError if it failed."""


class Connections:
    """The connections of a web process, and what they share; `refusals` counts by code."""

    def __init__(
        self,
        application: Endpoint,
        *,
        refusals: Counter[str],
        limits: Limits | None = None,
        direct: DirectAnswers | None = None,
        websocket: Websockets = lambda path: None,
        lame_duck_s: float = 0.0,
    ) -> None:
        self.application = application
        self.limits = limits or Limits()
        self.direct = direct
        self.websocket = websocket
        self.lame_duck_s = lame_duck_s
        # The process is to end: load balancers learn it, then each answer is the last one.
        self.draining = self.closing = False
        # Protocols of HTTP and of websockets; each has `is_idle`, `check`, `end` and `close`.
        self.open: set[Any] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        # Bursts are parsed in later turns of the loop.
        self.later = LaterWork()
        self._refusals = refusals
        self._is_empty = asyncio.Event()
        self.date = b""
        self.renew_date()

    @property
    def check_s(self) -> float:
        """Return how often to look for clients that have had their time."""
        limits = self.limits
        return min(1.0, min(limits.head_s, limits.body_s, limits.idle_s) / 4)

    def leave(self, connection: Any) -> None:
        self.open.discard(connection)
        if not self.open:
            self._is_empty.set()

    async def emptied(self) -> None:
        """Wait until all connections are closed, and what answers them has ended."""
        while self.open:
            self._is_empty.clear()
            await self._is_empty.wait()
        if self.tasks:
            await asyncio.wait(self.tasks)

    def count_refusal(self, reason: str) -> None:
        self._refusals[reason] += 1

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine, which a process that ends waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def renew_date(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(time(), usegmt=True).encode()


class Lingering(asyncio.Protocol):
    """Drops what comes until the client closes its side too, or 5 s are over.

    Closed at once with bytes unread, the connection would be reset and the answer lost.
    """

    def __init__(self, before: asyncio.Protocol, *, transport: asyncio.Transport) -> None:
        self._before = before
        self._end = asyncio.get_running_loop().call_later(5.0, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()


def linger(protocol: asyncio.Protocol, *, transport: asyncio.Transport) -> None:
    """Close what `protocol` served; a client that is still sending may read the answer first."""
    if transport.is_closing():
        return
    transport.set_protocol(Lingering(protocol, transport=transport))
    try:
        transport.write_eof()
    except OSError:  # the client has left
        transport.abort()
    else:
        transport.resume_reading()
