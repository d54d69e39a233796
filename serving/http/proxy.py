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
        self._answer = _Answer()
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
            if not self._answer.has_begun:
                until = asyncio.get_running_loop().time() + self._seconds
                self._patience.reschedule(until)
        # The console sees that its client has left.
        self._writer.transport.abort()
        raise ClientGone

    async def _pass_back(self, send: Send, sending: asyncio.Task[None]) -> None:
        answer = self._answer
        try:
            while not answer.is_complete:
                answer.feed(await self._reader.read(PIECE_BYTES))
                if answer.goes_on:
                    self._wanted.set()
                if answer.has_head:
                    await self._send_what_came(answer, send)
        except (ConnectionError, httptools.HttpParserError):
            if sending.done() and isinstance(sending.exception(), ClientGone):
                raise ClientGone from None
            if not answer.has_begun:
                raise _away() from None
            logger.warning("an answer of the console broke off path=%s", self._scope["path"])

    async def _send_what_came(self, answer: _Answer, send: Send) -> None:
        if not answer.has_begun:
            answer.has_begun = True
            self._patience.reschedule(None)
            fields = [field for field in answer.fields if field[0] not in NOT_PASSED_BACK]
            answer.is_complete |= self._scope["method"] == "HEAD"
            start = {"type": "http.response.start", "status": answer.status, "headers": fields}
            await send(start)
        body, more = answer.taken(), not answer.is_complete
        if body or not more:
            await send({"type": "http.response.body", "body": body, "more_body": more})


class _Answer:
    """The part of the console's answer that has come."""

    def __init__(self) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.has_head = self.has_begun = self.is_complete = False
        # The console has said that it awaits the body.
        self.goes_on = False
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what came; raise ConnectionResetError if that is an early end."""
        if not data:
            raise ConnectionResetError
        self._parser.feed_data(data)

    def taken(self) -> bytes:
        body = b"".join(self._body)
        self._body.clear()
        return body

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status == 100:
            self.goes_on = True
            self.fields.clear()
        else:
            self.has_head = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.is_complete = self.has_head
