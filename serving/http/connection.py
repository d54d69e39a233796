"""One HTTP/1.1 connection: requests one after the other, bounded in bytes and in time.

A plain prediction is answered here, without a task or a future; any other request goes to the ASGI
application. Nothing is read from a client that doesn't read its answers.
"""

import asyncio
import logging
from time import monotonic
from typing import Any, cast

import msgspec

from core.errors import BadRequest, ClipperError, RequestTimeout, Saturated
from serving.http.asgi import UNEXPECTED, error_headers
from serving.http.connections import Connections, linger
from serving.http.exchange import MOST_UNREAD_BYTES, STATUS_LINES, Exchange
from serving.http.limits import MAX_HEAD_BYTES, Limits, Unfinished
from serving.http.request import END_OF_HEAD, REQUEST_ID, Request, head_too_large

# More connections than this are turned away; each may have one query open.
MAX_CONNECTIONS = 4096
ANSWER_START = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

logger = logging.getLogger(__name__)

Address = tuple[str, int]


class HttpConnection(asyncio.Protocol):
    """Answers one request before it reads the next."""

    transport: asyncio.Transport

    def __init__(self, shared: Connections) -> None:
        self.limits: Limits = shared.limits
        self.unfinished = Unfinished(shared.limits)
        self.ahead = b""
        self.write_paused = self.read_paused = False
        self.client: Address | None = None
        self.server: Address | None = None
        self.shared = shared
        self._direct = shared.direct
        # The beginning of a request whose head has not arrived as a whole.
        self._begun = b""
        self._blank_bytes = 0
        # A known head whose body has not arrived as a whole, and the parts that have.
        self._head: Any = None
        self._parts: list[bytes] = []
        self._length = self._missing = 0
        # The query or the exchange that is being answered.
        self._question: Any = None
        self._body = b""
        self._exchange: Exchange | None = None
        self._keep_alive = True
        self._request_id = b""
        # No request is read any more.
        self._has_ended = False
        # When the last byte came or answer went; since when the client doesn't read; since when a
        # head is awaited, 0 if none is.
        self._active_at = self._full_at = self._head_since = 0.0
        self._drained: asyncio.Future[None] | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._active_at = monotonic()
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self.shared.open.add(self)
        if len(self.shared.open) > MAX_CONNECTIONS:
            self._refuse(Saturated("Too many connections.", retry_after_s=1.0))
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._active_at = arrived = monotonic()
        if self._question is not None or self.write_paused or self.ahead:
            self._keep(data)
        elif self._exchange is not None:
            self._take_body(self._exchange, data)
        elif self._head is not None:
            self._take_part(self._head, data, arrived=arrived)
        elif not self._has_ended:
            self._begin(data, arrived=arrived)

    def pause_writing(self) -> None:
        """Read nothing more from a client that doesn't read."""
        self.write_paused = True
        self._full_at = monotonic()
        self._pause_reading()

    def resume_writing(self) -> None:
        self.write_paused = False
        self._settle_drain()
        self._take_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.leave(self)
        self._has_ended = True
        self.unfinished.end()
        self.ahead = self._begun = b""
        self._parts.clear()
        self._settle_drain()
        if self._exchange is not None:
            self._exchange.leave()
        if self._question is not None:
            question, self._question = self._question, None
            question.abandon()

    # Requests, one after the other.

    def _begin(self, data: bytes, *, arrived: float) -> None:
        """Take the beginning of a request."""
        if self._begun:
            data, self._begun = self._begun + data, b""
        found = None
        # Longer heads are none that a program repeats.
        end = data.find(END_OF_HEAD, 0, 4096) + len(END_OF_HEAD)
        if end >= len(END_OF_HEAD) and self._direct is not None:
            found = self._direct.find(data[:end])
        if found is None:
            self._guarded(self._read_head, data)
            return
        head, self._length, self._request_id = found
        size = end + self._length
        if size == len(data):
            if self._head_since:
                self._await_nothing()
            self._ask(head, data, arrived)
        else:
            self._head, self._missing = head, size
            self._take_part(head, data, arrived=arrived)

    def _guarded(self, step: Any, *arguments: Any) -> None:
        try:
            step(*arguments)
        except ClipperError as error:
            self._give_up(error)

    def _read_head(self, data: bytes) -> None:
        """Parse a head that is there as a whole, or wait for the rest of it."""
        size = len(data)
        data = data.lstrip(b"\r\n")  # empty lines before a request say nothing (RFC 9112 §2.2)
        self._blank_bytes += size - len(data)
        end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        is_whole = end >= len(END_OF_HEAD)
        if (end if is_whole else len(data)) > MAX_HEAD_BYTES or self._blank_bytes > MAX_HEAD_BYTES:
            raise head_too_large()
        if data and not data[:1].isupper():
            raise BadRequest("Expected an HTTP/1.1 request, got something else.")
        if not is_whole:
            self._begun = data
            self.unfinished.hold(len(data))
            if not self._head_since:
                self._head_since = monotonic()
            return
        self._blank_bytes = 0
        self._await_nothing()
        self._open(Request(data[:end]), data, end)

    def _open(self, request: Request, data: bytes, end: int) -> None:
        """Have a request answered by the application, or go on with websockets."""
        if request.opens_websocket and self._become_websocket(request, data, end):
            return
        exchange = self._exchange = Exchange(self, request)
        self.shared.start(exchange.run(self.shared.application))
        if end < len(data):
            self._take_body(exchange, data[end:])

    def _become_websocket(self, request: Request, data: bytes, end: int) -> bool:
        new_protocol = self.shared.websocket(request.routed_path)
        if new_protocol is None:
            return False
        self._has_ended = True
        self.shared.leave(self)
        protocol = new_protocol(self.shared)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.data_received(data[:end])
        if end < len(data):
            protocol.data_received(data[end:])
        return True

    def _take_body(self, exchange: Exchange, data: bytes) -> None:
        request = exchange.request
        if request.complete:
            self._keep(data)
            return
        try:
            part, rest = request.take(data)
            if rest:
                self._keep(rest)
            exchange.take(part)
            if request.complete:
                self._await_nothing()
                return
            self.unfinished.hold(exchange.unread_bytes)
        except ClipperError as error:
            self._give_up(error)
            return
        self._await_body(len(data) - len(rest))
        if rest:  # small chunks; first whoever answers sees the head, and may refuse the body
            self.shared.later.add(self._go_on)
        elif exchange.unread_bytes > MOST_UNREAD_BYTES:
            self._pause_reading()

    def _keep(self, data: bytes) -> None:
        self.ahead += data
        self._pause_reading()

    def _go_on(self) -> None:
        """Take what came meanwhile, if its turn has come."""
        exchange = self._exchange
        waits = exchange is not None and exchange.request.complete
        if waits or self._question is not None or self.write_paused or self._has_ended:
            return
        data, self.ahead = self.ahead, b""
        if data and not self.transport.is_closing():
            self.data_received(data)
        self.read_on()

    def _take_up(self) -> None:
        """Go on after an answer, and give what has begun to come its time from now on."""
        self._active_at = monotonic()
        if self._head_since:
            self._head_since = self._active_at
        if self.ahead:
            # Not from here: whoever settles queries must not meet what this may lead to.
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self.read_on()

    def read_on(self) -> None:
        """Read from the client again, unless something has to be taken or read before."""
        full = self._exchange is not None and self._exchange.unread_bytes > MOST_UNREAD_BYTES
        if self.read_paused and not self.ahead and not self.write_paused and not full:
            self.read_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            if not self.transport.is_closing():
                self.transport.pause_reading()

    # Questions that are answered directly.

    def _take_part(self, head: Any, data: bytes, *, arrived: float) -> None:
        """Take a part of a request whose head is known; ask once it is there as a whole."""
        missing = self._missing = self._missing - len(data)
        if missing > 0:
            try:
                self.unfinished.hold(self.unfinished.held + len(data))
            except Saturated as error:
                self._parts.clear()
                self._give_up(error)
                return
            self._parts.append(data)
            self._await_body(len(data))
            return
        data = b"".join((*self._parts, data))
        self._parts.clear()
        self._await_nothing()
        self._head = None
        if missing:
            self._keep(data[missing:])
            data = data[:missing]
        self._ask(head, data, arrived)

    def _ask(self, head: Any, data: bytes, arrived: float) -> None:
        """Ask what a whole request asks; its answer may be there at once."""
        body = data[len(data) - self._length :]
        self._keep_alive = head.keep_alive
        assert self._direct is not None  # noqa: S101
        try:
            question = self._direct.begin(head, body, arrived=arrived)
        except Exception:
            logger.exception("unexpected error")
            self._send_error(UNEXPECTED)
            self._take_up()
            return
        if question is None:
            self._request_id = b""
            self._guarded(self._read_head, data)
            return
        self._question, self._body = question, body
        question.when_settled(self._answer)

    def _answer(self) -> None:
        """Send what a question came to, then go on with what arrived meanwhile."""
        question, self._question = self._question, None
        if self.shared.closing and self.is_last:
            self._keep_alive = False
        try:
            answer = self._direct.answer(question, body=self._body)  # type: ignore[union-attr]
        except ClipperError as error:
            self._send_error(error)
        except Exception:
            logger.exception("unexpected error")
            self._send_error(UNEXPECTED)
        else:
            self._send(ANSWER_START, answer)
        self._body = b""
        if self.ahead:
            self._take_up()

    # Answers.

    @property
    def is_last(self) -> bool:
        return self.shared.closing and not self.ahead

    async def drain(self) -> None:
        """Wait until the client has read enough to be sent more."""
        while self.write_paused and not self._has_ended:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def _settle_drain(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def go_on_after(self, exchange: Exchange) -> None:
        """Read the next request, or end the connection; the answer has been sent."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        if exchange.keep_alive:
            self._take_up()
        else:
            self._end(is_sending=not exchange.request.complete)

    def _send_error(self, error: ClipperError) -> None:
        fields = (b"%b: %b\r\n" % field for field in error_headers(error))
        start = b"".join((STATUS_LINES[error.status], *fields))
        self._send(start, msgspec.json.encode(error.body()))

    def _send(self, start: bytes, body: bytes) -> None:
        """Send a response; `start` is its status line and some of its fields."""
        transport = self.transport
        if transport.is_closing():
            return
        last = b"\r\n" if self._keep_alive else b"connection: close\r\n\r\n"
        if self._request_id:
            last = b"%b: %b\r\n%b" % (REQUEST_ID, self._request_id, last)
            self._request_id = b""
        fields = self.shared.date, len(body), last
        transport.write(b"%b%bcontent-length: %d\r\n%b%b" % (start, *fields, body))
        if not self._keep_alive:
            self._end()

    # The end of the connection.

    def _give_up(self, error: ClipperError) -> None:
        """Take no more requests, and say why."""
        exchange, self._exchange = self._exchange, None
        self._head = None
        self._await_nothing()
        if exchange is not None:
            self._request_id = exchange.request_id
            exchange.leave()
            if exchange.has_begun:
                self.close()
        self._refuse(error)

    def _refuse(self, error: ClipperError) -> None:
        """Say what is wrong with the connection, and end it."""
        self._keep_alive, self._has_ended = False, True
        self.shared.count_refusal(error.code)
        self._send_error(error)

    def _end(self, *, is_sending: bool = False) -> None:
        """Close; a client that may be sending can read the answer first."""
        if is_sending or self._has_ended or self.ahead:
            self._has_ended = True
            linger(self, transport=self.transport)
        else:
            self.close()

    def close(self) -> None:
        self._has_ended = True
        self.transport.close()

    def end(self) -> None:
        """Answer what is under way, or the next request: `closing` makes that the last one."""

    @property
    def is_idle(self) -> bool:
        waits = self._question is not None or self._exchange is not None or self.write_paused
        return not (waits or self._begun or self._head is not None or self.ahead)

    # Time.

    def _await_nothing(self) -> None:
        self._head_since = 0.0
        self.unfinished.end()

    def _await_body(self, size: int) -> None:
        self._head_since = 0.0
        if not self.unfinished.since:
            self.unfinished.begin_window(now=monotonic())
        self.unfinished.bring(size)

    def check(self, now: float) -> None:
        """End the connection if its client has had its time; its own time alone counts."""
        if self.write_paused or self.transport.is_closing():
            since = self._full_at if self.write_paused else self._active_at
            if now >= since + self.limits.idle_s:
                self.shared.count_refusal("unread")
                self.transport.abort()
        elif self._has_ended or self._question is not None:
            return
        elif self.unfinished.since:
            if now < self.unfinished.until:
                return
            if self.unfinished.enough or self.read_paused:
                self.unfinished.begin_window(now=now)
            else:
                self._give_up(RequestTimeout("Expected the body of the request sooner."))
        elif self._exchange is not None:
            return
        elif self._head_since:
            if now >= self._head_since + self.limits.head_s:
                self._give_up(RequestTimeout("Expected the head of a request sooner."))
        elif now >= self._active_at + self.limits.idle_s:
            self.close()


def _address(place: Any) -> Address | None:
    return (str(place[0]), int(place[1])) if isinstance(place, tuple) else None
