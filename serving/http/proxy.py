"""Passes requests on to the console, which may be on another host.

Each goes over a connection of its own, framed anew from what was parsed, so that both sides agree
where it ends. Bodies stream in both directions, no faster than they are read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import httptools

from core.errors import Saturated
from serving.http.asgi import ClientGone, Endpoint, Receive, Routes, Scope, Send, endpoint
from serving.http.connections import Connections, Websockets
from serving.http.passed_heads import HOP_BY_HOP, PassedHeads, target_of
from serving.http.request import REQUEST_ID
from serving.http.tunnel import Tunnel, console_away
from serving.rpc.address import AnyAddress
from serving.rpc.plain_streams import open_stream

# Requests that are passed on at a time; each has a connection and a task.
MAX_PROXIED = 1024
# Longer than a caller may wait for a release.
ANSWER_S = 330.0
PIECE_BYTES = 256 << 10
# The process that sends the answer adds its own.
NOT_PASSED_BACK = HOP_BY_HOP | {b"date", REQUEST_ID}

logger = logging.getLogger(__name__)


class ConsoleProxy:
    """The console as the processes that answer queries reach it: an endpoint, and websockets."""

    def __init__(
        self, console: AnyAddress, *, heads: PassedHeads, seconds: float = ANSWER_S
    ) -> None:
        self._console = console
        self._heads = heads
        self._seconds = seconds
        self._requests = 0
        self._tunnels: set[Tunnel] = set()

    @property
    def is_full(self) -> bool:
        return self._requests + len(self._tunnels) >= MAX_PROXIED

    def endpoint(self) -> Endpoint:
        return endpoint(self._pass_on)

    def websockets_beside(self, own: Websockets, *, routes: Routes) -> Websockets:
        """Return what makes the websocket of a path, the console's among them."""

        def tunnel(shared: Connections) -> Tunnel:
            return Tunnel(shared, console=self._console, heads=self._heads, among=self._tunnels)

        def websocket(path: str) -> Callable[..., asyncio.Protocol] | None:
            if found := own(path):
                return found
            # One too many is refused as any other request is.
            return None if routes.knows(path) or self.is_full else tunnel

        return websocket

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.is_full:
            raise Saturated("Too many requests wait for the console.", retry_after_s=2.0)
        self._requests += 1
        try:
            async with self._connected() as (reader, writer):
                passage = _Passage(scope, reader, writer, seconds=self._seconds)
                await passage.run(receive, send, heads=self._heads)
        finally:
            self._requests -= 1

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await open_stream(self._console, limit=PIECE_BYTES)
        except OSError:
            raise console_away() from None
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


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
        fields = {name for name, _ in scope["headers"]}
        self._is_chunked = b"transfer-encoding" in fields
        # Runs out if neither the body goes on nor the answer begins.
        self._patience = asyncio.timeout(seconds)
        # Set once the body is awaited; a client that expects a `100 Continue` gets the console's.
        self._wanted = asyncio.Event()
        if b"expect" not in fields:
            self._wanted.set()

    async def run(self, receive: Receive, send: Send, *, heads: PassedHeads) -> None:
        scope, chunked = self._scope, b"transfer-encoding: chunked\r\n" * self._is_chunked
        head = heads.head(
            scope["method"].encode(),
            target=target_of(scope),
            fields=scope["headers"],
            client=scope["client"],
            ending=chunked + b"connection: close\r\n",
        )
        self._writer.write(head)
        sending = asyncio.create_task(self._send_body(receive))
        try:
            async with self._patience:
                await self._pass_back(send, sending)
        except TimeoutError:
            raise console_away() from None
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ClientGone, OSError):
                await sending

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
                raise console_away() from None
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
