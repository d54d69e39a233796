"""Uvicorn's HTTP/1.1 protocol, strict about where one request ends and the next begins.

Who stands behind a proxy shares connections with strangers: what one of them sends must never be
read as the request of another. Uvicorn's parser stops at the head of a request that offers another
protocol; here an offer that isn't taken is ignored, as RFC 9110 §7.8 allows, and the body is read.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from registry.errors import BadRequest, ClipperError, MethodNotAllowed
from serving.api.direct import DirectPredictions
from serving.api.http import error_headers

# Where the application's lifespan leaves what answers predictions, for each connection to find.
STATE_KEY = "predictions"
WEBSOCKET = b"websocket"

Fields = list[tuple[bytes, bytes]]


class Connection(HttpToolsProtocol):
    """One connection, on which requests go to the ASGI application."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._predictions: DirectPredictions = app_state[STATE_KEY]
        # The parser is within a request; its `cycle` may last longer, or not as long.
        self._parsing = False
        self._in_head = False
        # The request that is being answered; `cycle` is the one that came last.
        self._current: RequestResponseCycle | None = None
        # What is wrong with what came after requests that are still being answered.
        self._refusal: ClipperError | None = None
        self._keep_alive = True

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._parsing = self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Fields after a body in chunks are none of the request's: nobody has vouched for them.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._stops_here() and not self._should_upgrade():
            return
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        if self._stops_here():
            return
        self._parsing = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal is not None and not self._responding:
            self._refuse(self._refusal)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    # Requests, one after the other.

    @property
    def _responding(self) -> bool:
        """Whether a request that went uvicorn's way is being answered."""
        return self._current is not None and not self._current.response_complete

    def _feed(self, data: bytes) -> None:
        """Have requests parsed and answered; they may lead to another protocol."""
        while self._refusal is None:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                rest = data[offer.args[0] :]
                if self._should_upgrade():
                    self._become_websocket(rest)
                    return
                data = self._without_offer() + rest
            except httptools.HttpParserError:
                self._give_up(BadRequest("Expected an HTTP/1.1 request, got something else."))
            else:
                return

    def _stops_here(self) -> bool:
        """Whether the parser stops at this head, for what follows may be another protocol."""
        return bool(self.parser.should_upgrade())

    def _should_upgrade(self) -> bool:
        """Tell whether a websocket is asked for as RFC 6455 says: by a GET without a body.

        Not behind a request that is still being answered: its answer would go to the websocket.
        """
        plain = self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1"
        fit = plain and not self._responding and not _has_body(self.headers)
        return fit and super()._should_upgrade()

    def _without_offer(self) -> bytes:
        """Return the head that the parser stopped at, to be read again without its offer."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._give_up(MethodNotAllowed("Expected a method of a web server, got CONNECT."))
            return b""
        version = self.parser.get_http_version().encode()
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = self._new_parser()
        return b"".join((b"%b %b HTTP/%b\r\n" % (method, self.url, version), *fields, b"\r\n"))

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _become_websocket(self, rest: bytes) -> None:
        """Hand the connection over, with what came right behind the head."""
        self._unset_keepalive_if_required()
        self.handle_websocket_upgrade()
        if rest and not self.transport.is_closing():
            self.transport.get_protocol().data_received(rest)  # type: ignore[attr-defined]

    # Errors of the connection itself.

    def _give_up(self, error: ClipperError) -> None:
        """Take no more requests; say why, after the answers to those that came before."""
        self._refusal = error
        unfinished = self.cycle if self._parsing and not self._in_head else None
        if unfinished is not None and unfinished is self._current:
            self._abandon(unfinished)
        elif unfinished is not None:
            self.pipeline.popleft()
        if not self._responding:
            self._refuse(error)

    def _abandon(self, cycle: RequestResponseCycle) -> None:
        """End a request whose body can't be read to its end; it may have an answer by now."""
        if cycle.response_started:
            self.transport.close()
        cycle.disconnected = cycle.response_complete = True
        cycle.message_event.set()

    def _refuse(self, error: ClipperError) -> None:
        """Say what is wrong with a connection, and end it."""
        self._keep_alive = False
        self._send_error(error)

    def _send_error(self, error: ClipperError) -> None:
        lines = [b"%b: %b\r\n" % field for field in error_headers(error)]
        start = b"".join((STATUS_LINE[error.status], *lines))
        self._send(start, msgspec.json.encode(error.body()))

    def _send(self, start: bytes, body: bytes) -> None:
        """Send a response, `start` being its status line and some headers."""
        transport = self.transport
        if transport.is_closing():
            return
        last = b"\r\n" if self._keep_alive else b"connection: close\r\n\r\n"
        common = self._predictions.rendered(self.server_state.default_headers)
        transport.write(b"%b%bcontent-length: %d\r\n%b%b" % (start, common, len(body), last, body))
        if not self._keep_alive:
            transport.close()


def _has_body(fields: Fields) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
        for name, value in fields
    )
