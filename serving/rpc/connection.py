"""One link between a web process and a replica: frames in, bytes out, and how it ended."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from serving.rpc.address import TcpAddress, UnixAddress, parse_address
from serving.rpc.confined_peers import KeepModelsOut
from serving.rpc.errors import ConnectionLost, InvalidAddress, ProtocolError
from serving.rpc.frames.codec import Frame, FrameDecoder, FrameType, encode_frame
from serving.rpc.tcp import streams
from serving.rpc.tcp.credentials import Authentication
from serving.rpc.text import safe_text

OnConnect = Callable[["Connection"], None]
OnFrame = Callable[["Connection", Frame], None]
OnLost = Callable[["Connection", ConnectionLost | None], None]
OnWritable = Callable[["Connection"], None]
NewProtocol = Callable[[], asyncio.Protocol]
Listener = asyncio.Server | streams.TcpListener


class Connection(asyncio.Protocol):
    """Calls on_frame for each frame and on_lost exactly once.

    on_lost gets None only if this end called close() or abort(). A ProtocolError, from the decoder
    or raised by on_frame, is sent to the peer in an ERROR frame and ends the connection.
    """

    def __init__(
        self,
        *,
        on_frame: OnFrame,
        on_lost: OnLost,
        on_connect: OnConnect | None = None,
        on_writable: OnWritable | None = None,
    ) -> None:
        self.writable = False
        self.closing = False
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._on_connect = on_connect
        self._on_writable = on_writable
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._fault: Exception | None = None

    def send(self, data: bytes) -> None:
        """Queue encoded frames; bytes sent after the end of the connection are dropped."""
        if self._transport is not None and not self.closing:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is queued, then close."""
        self._end()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; what is queued is dropped."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Abort, and call nobody: for one who dialled and gave up."""
        self._on_lost = lambda _connection, _error: None
        self.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self.closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self.closing:
            self._transport.resume_reading()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        self._transport = transport = cast("asyncio.Transport", transport)
        if self.closing:  # whoever dialled has given up
            transport.abort()
            return
        transport.set_write_buffer_limits(high=1024 * 1024, low=256 * 1024)
        sock = transport.get_extra_info("socket")
        # A batch of 64 inputs of 6 KB fits in one piece: fewer wake-ups on both sides.
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 1024 * 1024)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.writable = True
        if self._on_connect is not None:
            self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                if frame.type is FrameType.ERROR:
                    reason = safe_text(frame.body[:1000].decode(errors="replace"))
                    self._fault = ConnectionLost(f"the peer reported: {reason}")
                    self._on_frame(self, frame)
                    self.close()  # it was its last word, whether it closes or not
                    return
                self._on_frame(self, frame)
                if self.closing:
                    return
        except ProtocolError as error:
            self._fault = error
            self.send(encode_frame(FrameType.ERROR, 0, str(error).encode()))
            self.close()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = not self.closing
        if self.writable and self._on_writable is not None:
            self._on_writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = self._reason(exc)
        self._end()
        self._transport = None
        self._on_lost(self, reason)

    def _reason(self, exc: Exception | None) -> ConnectionLost | None:
        if isinstance(self._fault, ConnectionLost):
            return self._fault
        cause = self._fault or exc
        if cause is not None:
            lost = ConnectionLost(str(cause) or type(cause).__name__)
            lost.__cause__ = cause
            return lost
        if self.closing:
            return None
        if pending := self._decoder.pending:
            return ConnectionLost(
                "the peer closed the connection in the middle of a frame: "
                f"expected {self._decoder.wanted} bytes, got {pending}"
            )
        return ConnectionLost("the peer closed the connection")

    def _end(self) -> None:
        self.closing = True
        self.writable = False


async def connect(
    address: str,
    *,
    on_frame: OnFrame,
    on_lost: OnLost,
    timeout: float,  # noqa: ASYNC109  # dialling is the one wait in here
    on_writable: OnWritable | None = None,
    authentication: Authentication | None = None,
) -> Connection:
    """Dial a replica within timeout seconds; every failure is a ConnectionLost."""
    target = parse_address(address)
    connection = Connection(on_frame=on_frame, on_lost=on_lost, on_writable=on_writable)
    try:
        async with asyncio.timeout(timeout):
            if isinstance(target, UnixAddress):
                loop = asyncio.get_running_loop()
                await loop.create_unix_connection(lambda: connection, str(target.path))
            else:
                authentication = _needed(authentication, address=address)
                await streams.dial(target, connection=connection, authentication=authentication)
    except TimeoutError as error:
        connection.abandon()
        raise ConnectionLost(f"cannot connect to {address} within {timeout:g} s") from error
    except (OSError, ProtocolError, ConnectionLost) as error:
        connection.abandon()
        raise ConnectionLost(f"cannot connect to {address}: {error}") from error
    except BaseException:
        connection.abandon()
        raise
    return connection


async def accept(
    address: str,
    *,
    new_protocol: NewProtocol,
    authentication: Authentication | None = None,
    ports: Sequence[int] | None = None,
) -> Listener:
    """Make a protocol for each stream at an address; raises OSError if that is taken.

    A Unix socket is open to this user alone, and to no model's process. TCP demands an
    authentication, which a stream has passed before its protocol learns of it; `ports` are tried
    in turn instead of the address's own.
    """
    target = parse_address(address)
    if isinstance(target, TcpAddress):
        authentication = _needed(authentication, address=address)
        bound = await streams.bind(target, ports=ports or [target.port])
        return streams.TcpListener(
            bound, new_connection=new_protocol, authentication=authentication
        )
    bound = _bind_unix(target.path)
    try:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(
            lambda: KeepModelsOut(new_protocol), sock=bound, backlog=1024
        )
    except BaseException:
        bound.close()
        raise


def _needed(authentication: Authentication | None, *, address: str) -> Authentication:
    if authentication is None:
        raise InvalidAddress(f"expected the cluster's secret for {address}: TCP is authenticated")
    return authentication


def _bind_unix(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.bind(str(path))
        # Nobody can connect before listen(): there is no moment with a wider mode.
        path.chmod(0o600)
    except BaseException:
        bound.close()
        raise
    return bound


def remove_socket(address: str) -> None:
    """Remove what a Unix address leaves behind, a file; of TCP nothing stays."""
    target = parse_address(address)
    if isinstance(target, UnixAddress):
        target.path.unlink(missing_ok=True)
