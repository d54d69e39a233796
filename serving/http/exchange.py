"""One request and its answer, between a connection and an ASGI application."""

import asyncio
import logging
import re
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec

from core.errors import ClipperError
from serving.http.asgi import (
    DRAINING_KEY,
    UNEXPECTED,
    WHEN_GONE,
    Endpoint,
    error_headers,
    send_error,
)
from serving.http.limits import LIMITS_KEY
from serving.http.request import REQUEST_ID, Request, request_id_of

# A client is read no further while the application has so much of its body to take.
MOST_UNREAD_BYTES = 64 << 10
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus
}

_odd_name = re.compile(rb"[\x00-\x1f\x7f()<>@,;:\[\]={} \t\\\"]").search
_odd_value = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]


class Exchange:
    """The request is answered by `run`; the HttpConnection gives it the body as it comes."""

    def __init__(self, connection: Any, request: Request) -> None:
        self.request = request
        self.is_gone = False
        self.is_answered = False
        self.has_begun = False
        self.keep_alive = request.keep_alive
        self.unread_bytes = 0
        self._connection = connection
        self._parts: list[bytes] = []
        self._had_end = False
        self._expects_continue = request.expects_continue and not request.complete
        self._wake: asyncio.Future[None] | None = None
        self.request_id = request_id_of(request.fields)
        # Of the response's body: bytes that it still lacks, or None if it comes in chunks.
        self._left: int | None = None
        self._is_chunked = self._is_bodiless = False
        self._state: dict[str, Any] = {
            LIMITS_KEY: connection.limits,
            DRAINING_KEY: connection.shared.draining,
        }

    async def run(self, application: Endpoint) -> None:
        """Have the application answer, and the connection go on or end."""
        try:
            await application(self._scope(), self.receive, self.send)
            if not self.is_answered and not self.is_gone:
                logger.error("no whole answer path=%s", self.request.path)
                await self._break_off()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                logger.exception("unexpected error path=%s", self.request.path)
            await self._break_off()

    async def _break_off(self) -> None:
        self.keep_alive = False
        if self.has_begun or self.is_gone:
            self._connection.close()
        else:
            await send_error(self.send, UNEXPECTED)

    def _scope(self) -> Message:
        request, connection = self.request, self._connection
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.version,
            "server": connection.server,
            "client": connection.client,
            "scheme": "http",
            "root_path": "",
            "method": request.method.decode("ascii"),
            "path": request.routed_path,
            "raw_path": request.path,
            "query_string": request.query,
            "headers": request.fields,
            "state": self._state,
        }

    # Called by the connection.

    def take(self, body: bytes) -> None:
        """Take a part of the body, which may be its last one."""
        if body:
            self._parts.append(body)
            self.unread_bytes += len(body)
        self._wake_up()

    def leave(self) -> None:
        """End it: the client has left, or gets another answer."""
        self.is_gone = True
        self._wake_up()
        if gone := self._state.get(WHEN_GONE):
            gone()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # Called by the application.

    async def receive(self) -> Message:
        if self._expects_continue and not self.is_gone:
            self._expects_continue = False
            self._connection.transport.write(CONTINUE)
        while not self.is_gone and not self.is_answered:
            complete = self.request.complete
            if self._parts or (complete and not self._had_end):
                body = b"".join(self._parts)
                self._parts.clear()
                self.unread_bytes = 0
                self._had_end = complete
                self._connection.read_on()
                return {"type": "http.request", "body": body, "more_body": not complete}
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self._connection.drain()
        if self.is_gone:
            return
        if not self.has_begun:
            self._begin(message["status"], message.get("headers", ()))
        elif self.is_answered:
            raise RuntimeError("The response is complete already.")
        else:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))

    def _begin(self, status: int, fields: Any) -> None:
        self.has_begun = True
        self._expects_continue = False
        lines = [STATUS_LINES[status], self._connection.shared.date]
        self._is_bodiless = self.request.method == b"HEAD" or status in (204, 304)
        measured = self._is_bodiless
        for name, value in fields:
            if _odd_name(name) or _odd_value(value):
                raise RuntimeError(f"Expected a field of HTTP, got {name!r}: {value!r}.")
            name = name.lower()
            if name == b"content-length":
                measured = True
                self._left = None if self._is_bodiless else int(value)
            elif name == b"connection":
                self.keep_alive &= b"close" not in value.lower()
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if self.request_id:
            lines.append(b"%b: %b\r\n" % (REQUEST_ID, self.request_id))
        if not measured:
            self._is_chunked = self.request.version == "1.1"
            self.keep_alive &= self._is_chunked
            if self._is_chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        # The client may not send the rest of the body, or send no end of it.
        if not self.request.complete or self._connection.is_last:
            self.keep_alive = False
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        self._connection.transport.write(b"".join(lines))

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self._is_bodiless:
            body = b""
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("Expected a body as long as its Content-Length says.")
        if self._is_chunked:
            last = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last
        if body:
            self._connection.transport.write(body)
        if not more:
            self.is_answered = True
            self._wake_up()
            self._connection.go_on_after(self)


def last_answer(error: ClipperError) -> bytes:
    """Return the response that says an error and is the last one of its connection."""
    body = msgspec.json.encode(error.body())
    fields = [*error_headers(error), (b"content-length", b"%d" % len(body))]
    lines = [b"%b: %b\r\n" % field for field in (*fields, (b"connection", b"close"))]
    return b"".join((STATUS_LINES[error.status], *lines, b"\r\n", body))
