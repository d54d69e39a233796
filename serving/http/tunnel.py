"""A websocket of the console, by way of this process: bytes go both ways as they are.

Nothing behind the client's head is passed on before the console has agreed to the websocket, so
nothing there can be taken for a request of its own.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import cast

from core.errors import ProcessAway
from serving.http.connections import Connections
from serving.http.exchange import last_answer
from serving.http.passed_heads import PassedHeads
from serving.http.request import Request
from serving.rpc.address import AnyAddress
from serving.rpc.plain_streams import dial_plainly

AGREED = b"HTTP/1.1 101 "
# The console asks a client that is silent for 20 s if it is there.
SILENT_S = 60.0


def console_away() -> ProcessAway:
    return ProcessAway("The console isn't there, or has no time.", retry_after_s=2.0)


class Tunnel(asyncio.Protocol):
    """The client's end, which is in `among` while it lasts."""

    transport: asyncio.Transport

    def __init__(
        self, shared: Connections, *, console: AnyAddress, heads: PassedHeads, among: set[Tunnel]
    ) -> None:
        self._shared = shared
        self._console = console
        self._heads = heads
        self._among = among
        self._far: asyncio.Transport | None = None
        self._head = self._ahead = self._answer = b""
        self._is_agreed = False
        self._heard_at = monotonic()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._shared.open.add(self)
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        """Take the head, then what is for the console."""
        self._heard_at = monotonic()
        if not self._head:
            self._head = data
            self.transport.pause_reading()
            self._shared.start(self._dial(Request(data)))
        elif self._is_agreed and self._far is not None:
            self._far.write(data)
        else:
            self._ahead += data

    def pause_writing(self) -> None:
        if self._far is not None:
            self._far.pause_reading()

    def resume_writing(self) -> None:
        if self._far is not None:
            self._far.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.leave(self)
        self._among.discard(self)
        if self._far is not None:
            self._far.close()

    # Called by the server.

    @property
    def is_idle(self) -> bool:
        return False

    def end(self) -> None:
        self.transport.close()

    close = end

    def check(self, now: float) -> None:
        """End it if neither side has said anything, or one hasn't read, for a while."""
        if now >= self._heard_at + SILENT_S:
            self.transport.abort()

    # The console's side.

    async def _dial(self, request: Request) -> None:
        head = self._heads.head(
            request.method,
            target=request.path + (b"?" + request.query if request.query else b""),
            fields=request.fields,
            client=self.transport.get_extra_info("peername"),
            # A console that doesn't agree closes behind its answer.
            ending=b"upgrade: websocket\r\nconnection: upgrade, close\r\n",
        )
        try:
            self._far = await dial_plainly(self._console, new_protocol=lambda: _FarEnd(self))
        except OSError:
            self.transport.write(last_answer(console_away()))
            self.transport.close()
        else:
            self._far.write(head)
            if self.transport.is_closing():
                self._far.close()

    def take(self, data: bytes) -> None:
        """Pass on what the console says; once it agrees, the client is read as well."""
        self._heard_at = monotonic()
        if not self._is_agreed and len(self._answer) < len(AGREED):
            self._answer += data
            self._is_agreed = self._answer.startswith(AGREED)
        self.transport.write(data)
        if self._is_agreed and self._answer and self._far is not None:
            self._answer = b""
            self._far.write(self._ahead)
            self._ahead = b""
            self.transport.resume_reading()


class _FarEnd(asyncio.Protocol):
    """The console's end."""

    def __init__(self, near: Tunnel) -> None:
        self._near = near

    def data_received(self, data: bytes) -> None:
        if not self._near.transport.is_closing():
            self._near.take(data)

    def pause_writing(self) -> None:
        self._near.transport.pause_reading()

    def resume_writing(self) -> None:
        self._near.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._near.transport.close()
