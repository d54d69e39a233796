"""Uvicorn's HTTP/1.1 protocol, strict about where one request ends and the next begins.

Who stands behind a proxy shares connections with strangers: what one of them sends must never be
read as the request of another. Uvicorn's parser stops at the head of a request that offers another
protocol; here an offer that isn't taken is ignored, as RFC 9110 §7.8 allows, and the body is read.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from core.errors import BadRequest, ClipperError, HeadTooLarge, MethodNotAllowed
from serving.api.chunks import LINE_END, Chunks
from serving.api.http import Receive, Scope, Send, error_headers
from serving.api.limits import MAX_FIELDS, MAX_HEAD_BYTES
from serving.api.lingering import linger
from serving.api.request_id import NAME, request_id_of
from serving.api.shared import STATE_KEY, SharedByConnections

# Ends each head.
EMPTY_LINE = LINE_END + LINE_END
# What a field has beside its name and its value.
FIELD_BYTES = 4
HEAD_LIMITS = f"Expected a head of at most {MAX_HEAD_BYTES} bytes and {MAX_FIELDS} fields."

Fields = list[tuple[bytes, bytes]]


class StrictProtocol(HttpToolsProtocol):
    """Requests of one connection, which go to the ASGI application one after the other.

    The parser gets the bytes of one at a time: where each begins is known, and whether it is for
    this process is decided when its turn has come.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._shared: SharedByConnections = app_state[STATE_KEY]
        # The parser is within a request; its `cycle` may last longer, or not as long.
        self._parsing = self._in_body = False
        self._head_bytes = 0
        # The head as it came, while it is read.
        self._raw_head = bytearray()
        # The last bytes of a head that the parser got, in which its end may have begun.
        self._last = b""
        # What the body still lacks of its length; where it has none it comes in chunks.
        self._body_left = 0
        self._chunked: Chunks | None = None
        # What the parser got last had the end of a request.
        self._ended = False
        # The request that is being answered; `cycle` is the one that came last.
        self._current: RequestResponseCycle | None = None
        self._keep_alive = True
        # The connection ends, though the client may still be sending.
        self._refusing = False
        # That of the request which is answered here, where its caller gave it one.
        self._request_id = b""

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._ended:
            raise BadRequest("Expected a request that ends where HTTP/1.1 says.")
        self._parsing, self._in_body = True, False
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._measure(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._measure(len(name) + len(value) + FIELD_BYTES)
        # Fields after a body in chunks are none of the request's: nobody has vouched for them.
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._stops_here() and not self._should_upgrade():
            return
        super().on_headers_complete()
        self._in_body = True
        length = _length_in(self.headers)
        self._body_left, self._chunked = max(length, 0), Chunks() if length < 0 else None
        self._raw_head.clear()
        self._last = b""

    def on_body(self, body: bytes) -> None:
        self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._stops_here():
            return
        self._parsing = self._in_body = False
        self._ended = True
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, partial(self._answered, cycle, app))

    async def _answered(
        self, cycle: RequestResponseCycle, app: Any, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the application; where it answers before the body is there, the connection ends.

        The client may not send the rest, or send no end of it. What it sent behind its last request
        has no answer.
        """
        early = False
        request_id = request_id_of(cycle.scope["headers"])

        async def sent(message: Any) -> None:
            nonlocal early
            if message["type"] == "http.response.start":
                if request_id:
                    message["headers"] = [*message.get("headers", ()), (NAME, request_id)]
                if cycle.more_body:
                    early, cycle.keep_alive = True, False
                elif self._is_last:
                    cycle.keep_alive = False
            last = message["type"] == "http.response.body" and not message.get("more_body")
            lingers = last and (early or (self._has_more and not cycle.keep_alive))
            if lingers:
                cycle.keep_alive = True  # or it would close at once
                self._refusing = True
            await send(message)
            if lingers:
                self._end()

        await app(scope, receive, sent)

    @property
    def _is_last(self) -> bool:
        """Whether the request that is being answered is the last one on this connection."""
        return self._shared.closing

    @property
    def _in_chunks(self) -> bool:
        """Whether a body in chunks is being read."""
        return self._in_body and self._chunked is not None

    @property
    def _has_more(self) -> bool:
        """Whether something came behind the request that is being answered."""
        return False

    def _measure(self, size: int) -> None:
        """Count what a head, or the fields after chunks, have so far."""
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_FIELDS:
            raise HeadTooLarge(HEAD_LIMITS)

    # Requests, one after the other.

    def _feed(self, data: bytes) -> bytes:
        """Have no more than one request parsed and answered; return what is behind that."""
        if not self._parsing:
            # Empty lines before a request say nothing (RFC 9112 §2.2).
            data = data.lstrip(LINE_END)
            if not data:
                return data
        end = self._end_in(data)
        part, rest = (data, b"") if end >= len(data) else (data[:end], data[end:])
        if not self._in_body:
            self._raw_head += part
        self._ended = False
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade as offer:
            return self._offered(part[offer.args[0] :] + rest)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, ClipperError):
                raise error.__context__ from None
            raise BadRequest("Expected an HTTP/1.1 request, got something else.") from None
        return rest

    def _end_in(self, data: bytes) -> int:
        """Return how far the parser may read: no further than to the end of a head or of a body."""
        if self._in_body:
            return self._body_left if self._chunked is None else self._chunked.end_in(data)
        seam = (self._last + data[:3]).find(EMPTY_LINE)
        if seam >= 0:
            end = seam + len(EMPTY_LINE) - len(self._last)
        else:
            at = data.find(EMPTY_LINE)
            end = len(data) if at < 0 else at + len(EMPTY_LINE)
        self._last = (self._last + data[max(0, end - 3) : end])[-3:]
        return end

    def _offered(self, rest: bytes) -> bytes:
        """Take an offer of another protocol, or read the request without it; return what is next.

        The offer's head is read; `rest` is what came behind it.
        """
        if self._should_upgrade():
            self._become_websocket(rest)
            return b""
        return self._without_offer() + rest

    def _stops_here(self) -> bool:
        """Whether the parser stops at this head, for what follows may be another protocol."""
        return bool(self.parser.should_upgrade())

    def _should_upgrade(self) -> bool:
        """Tell whether a websocket is asked for as RFC 6455 says: by a GET without a body."""
        plain = self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1"
        return plain and not _length_in(self.headers) and super()._should_upgrade()

    def _without_offer(self) -> bytes:
        """Return the head that the parser stopped at, to be read again without its offer."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise MethodNotAllowed("Expected a method of a web server, got CONNECT.")
        version = self.parser.get_http_version().encode()
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._raw_head.clear()
        return b"".join((b"%b %b HTTP/%b\r\n" % (method, self.url, version), *fields, b"\r\n"))

    def _become_websocket(self, rest: bytes) -> None:
        """Hand the connection over, with what came right behind the head."""
        self._unset_keepalive_if_required()
        self.scope["method"] = "GET"
        self.handle_websocket_upgrade()
        self._parsing = False
        if rest and not self.transport.is_closing():
            self.transport.get_protocol().data_received(rest)  # type: ignore[attr-defined]

    # Errors of the connection itself.

    def _give_up(self, error: ClipperError) -> None:
        """Take no more requests, and say why."""
        if self._in_body and self._current is not None:
            self._abandon(self._current)
        self._refuse(error)

    def _abandon(self, cycle: RequestResponseCycle) -> None:
        """End a request whose body can't be read to its end; it may have an answer by now."""
        self._request_id = request_id_of(self.headers)
        if cycle.response_started:
            self.transport.close()
        cycle.disconnected = cycle.response_complete = True
        cycle.message_event.set()
        self._current = None

    def _refuse(self, error: ClipperError) -> None:
        """Say what is wrong with a connection, and end it."""
        self._keep_alive, self._refusing = False, True
        self._shared.count_refusal(error.code)
        self._send_error(error)

    def _send_error(self, error: ClipperError) -> None:
        self._send(error_start(error), msgspec.json.encode(error.body()))

    def _send(self, start: bytes, body: bytes) -> None:
        """Send a response, `start` being its status line and some headers."""
        transport = self.transport
        if transport.is_closing():
            return
        last = b"\r\n" if self._keep_alive else b"connection: close\r\n\r\n"
        if self._request_id:
            last = b"x-request-id: %b\r\n%b" % (self._request_id, last)
            self._request_id = b""
        common = self._shared.rendered(self.server_state.default_headers)
        transport.write(b"%b%bcontent-length: %d\r\n%b%b" % (start, common, len(body), last, body))
        if self._keep_alive:
            return
        if self._refusing or self._has_more:
            self._refusing = True
            self._end()
        else:
            transport.close()

    def _end(self) -> None:
        self._unset_keepalive_if_required()
        linger(self, transport=self.transport)


def error_start(error: ClipperError) -> bytes:
    """Return the status line of the response to an error, and the headers that are its own."""
    lines = [b"%b: %b\r\n" % field for field in error_headers(error)]
    return b"".join((STATUS_LINE[error.status], *lines))


def _length_in(fields: Fields) -> int:
    """Return how long a body is that comes with these fields; -1 where it comes in chunks."""
    length = 0
    for name, value in fields:
        if name == b"transfer-encoding":
            return -1
        if name == b"content-length":
            # The parser has refused what isn't one number.
            length = int(value)
    return length
