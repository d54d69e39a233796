"""Passes requests on to the console, over its Unix socket.

Each goes over a connection of its own, framed anew from what was parsed, so that both sides agree
where it ends. Bodies stream in both directions, no faster than they are read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httptools

from core.errors import ProcessAway, Saturated
from serving.http.asgi import ClientGone, Endpoint, Receive, Scope, Send, endpoint
from serving.http.exchange import CLIENT_FIELD
from serving.http.request import REQUEST_ID

# Requests that are passed on at a time; each has a connection and a task.
MAX_PROXIED = 1024
# Longer than a caller may wait for a release.
ANSWER_S = 330.0
PIECE_BYTES = 256 << 10
# Fields that say something about one connection only.
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding")
)
NOT_PASSED_ON = HOP_BY_HOP | {b"upgrade", CLIENT_FIELD}
# The process that sends the answer adds its own.
NOT_PASSED_BACK = HOP_BY_HOP | {b"date", REQUEST_ID}

logger = logging.getLogger(__name__)


def proxy_to(path: str, *, seconds: float = ANSWER_S) -> Endpoint:
    """Return an endpoint that asks the web process which listens at this path."""
    passed_on = 0

    @endpoint
    async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal passed_on
        if passed_on >= MAX_PROXIED:
            raise Saturated("Too many requests wait for the console.", retry_after_s=2.0)
        passed_on += 1
        try:
            async with _connected(path) as (reader, writer):
                await _Passage(scope, reader, writer, seconds=seconds).run(receive, send)
        finally:
            passed_on -= 1

    return proxied


@asynccontextmanager
async def _connected(path: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=PIECE_BYTES)
    except OSError:
        raise _away() from None
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _away() -> ProcessAway:
    return ProcessAway("The console isn't there, or has no time.", retry_after_s=2.0)


class _Passage:
    """One request on its way to the console, and the answer on its way back."""

    def __init__(
        self,
        scope: Scope,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        seconds: float,
    ) -> None:
        self._scope = scope
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        # The part of the answer that has come: its status, once the head is there, and the rest.
        self._status = 0
        self._answer_fields: list[tuple[bytes, bytes]] = []
        self._answer: list[bytes] = []
        self._has_begun = self._is_complete = False
        self._parser = httptools.HttpResponseParser(self)
        self._fields = list(scope["headers"])
        self._is_chunked = any(name == b"transfer-encoding" for name, _ in self._fields)
        # Runs out if neither the body goes on nor the answer begins.
        self._patience = asyncio.timeout(seconds)
        # Set once the body is awaited; a client that expects a `100 Continue` gets the console's.
        self._wanted = asyncio.Event()
        if not any(name == b"expect" for name, _ in self._fields):
            self._wanted.set()

    async def run(self, receive: Receive, send: Send) -> None:
        self._writer.write(self._head())
        sending = asyncio.create_task(self._send_body(receive))
        try:
            async with self._patience:
                await self._pass_back(send, sending)
        except TimeoutError:
            raise _away() from None
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ClientGone, OSError):
                await sending

    def _head(self) -> bytes:
        scope = self._scope
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        target = scope["raw_path"] + query
        lines = [b"%b %b HTTP/1.1\r\n" % (scope["method"].encode(), target)]
        lines += [b"%b: %b\r\n" % field for field in self._fields if field[0] not in NOT_PASSED_ON]
        if self._is_chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if scope["client"] is not None:
            host, port = scope["client"]
            lines.append(b"%b: %b %d\r\n" % (CLIENT_FIELD, host.encode(), port))
        return b"".join((*lines, b"connection: close\r\n\r\n"))

    async def _send_body(self, receive: Receive) -> None:
        """Send the body as it comes, then wait for the client to leave."""
        await self._wanted.wait()
        while (message := await receive())["type"] == "http.request":
            body, more = message.get("body", b""), message.get("more_body", False)
            if self._is_chunked:
                last = b"" if more else b"0\r\n\r\n"
                body = b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last
            self._writer.write(body)
            await self._writer.drain()
            if not self._has_begun:
                until = asyncio.get_running_loop().time() + self._seconds
                self._patience.reschedule(until)
        # The console sees that its client has left.
        self._writer.transport.abort()
        raise ClientGone

    async def _pass_back(self, send: Send, sending: asyncio.Task[None]) -> None:
        try:
            while not self._is_complete:
                data = await self._reader.read(PIECE_BYTES)
                if not data:
                    raise ConnectionResetError
                self._parser.feed_data(data)
                if self._status:
                    await self._send_what_came(send)
        except (ConnectionError, httptools.HttpParserError):
            if sending.done() and isinstance(sending.exception(), ClientGone):
                raise ClientGone from None
            if not self._has_begun:
                raise _away() from None
            logger.warning("an answer of the console broke off path=%s", self._scope["path"])

    async def _send_what_came(self, send: Send) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._patience.reschedule(None)
            fields = [field for field in self._answer_fields if field[0] not in NOT_PASSED_BACK]
            self._is_complete |= self._scope["method"] == "HEAD"
            await send({"type": "http.response.start", "status": self._status, "headers": fields})
        body, more = b"".join(self._answer), not self._is_complete
        self._answer.clear()
        if body or not more:
            await send({"type": "http.response.body", "body": body, "more_body": more})

    # Called by the parser of the answer.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer_fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() == 100:
            self._wanted.set()
            self._answer_fields.clear()
        else:
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._answer.append(body)

    def on_message_complete(self) -> None:
        self._is_complete = self._status > 0
