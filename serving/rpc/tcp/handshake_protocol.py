"""The protocol of a TCP stream until its peer has proved itself; the connection comes after it."""

import asyncio
from typing import cast

from serving.rpc.errors import AuthenticationFailed, ConnectionLost, ProtocolError
from serving.rpc.frames.codec import FrameType, encode_frame, first_frame
from serving.rpc.tcp.handshake import MAX_HANDSHAKE_BODY, Handshake


class HandshakeProtocol(asyncio.Protocol):
    """Runs a handshake on a new stream, then leaves it to `connection`; `passed` tells when."""

    def __init__(self, connection: asyncio.Protocol, *, handshake: Handshake) -> None:
        self.passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_stream = False
        self._connection = connection
        self._handshake = handshake
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._fault: ProtocolError | None = None

    def abort(self) -> None:
        """Give up; once the stream has been handed over this does nothing."""
        if self._transport is not None:
            self._transport.abort()
        if not self.passed.cancel() and not self.passed.cancelled():
            self.passed.exception()  # nobody else will ask for it

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.has_stream = True
        # uvloop's transports have the methods, not the base class.
        self._transport = transport = cast("asyncio.Transport", transport)
        if self.passed.done():  # whoever waited has given up
            transport.abort()
            return
        transport.write(self._handshake.opening)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._unread += data
        try:
            while cut := first_frame(self._unread, max_body=MAX_HANDSHAKE_BODY):
                frame, rest = cut
                if reply := self._handshake.receive(frame):
                    transport.write(reply)
                if self._handshake.is_done:
                    # HELLO ends the handshake, and is the first that the connection reads.
                    self._hand_over(self._unread if frame.type is FrameType.HELLO else rest)
                    return
                self._unread = rest
        except ProtocolError as error:
            self._fault = error
            # All that a stranger learns of why his proof was refused.
            is_proof = isinstance(error, AuthenticationFailed)
            reason = "authentication failed" if is_proof else str(error)
            transport.write(encode_frame(FrameType.ERROR, 0, reason.encode()))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.passed.done():
            reason = str(exc) if exc else "the peer closed the connection"
            lost = ConnectionLost(f"{reason} before it was authenticated")
            self.passed.set_exception(self._fault or lost)

    def _hand_over(self, unread: bytes) -> None:
        transport = self._transport
        if transport is None or self.passed.done():  # whoever waited has given up, and will abort
            return
        self._transport, self._unread = None, b""
        self.passed.set_result(None)
        transport.set_protocol(self._connection)
        self._connection.connection_made(transport)
        if unread:
            self._connection.data_received(unread)
