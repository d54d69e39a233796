"""Streams to another process by its address, without a handshake."""

import asyncio
import socket
from collections.abc import Callable

from serving.rpc.address import AnyAddress, UnixAddress

CONNECT_S = 5.0
# A host that is gone says nothing: its streams end half a minute later.
ASKED_IF_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


async def dial_plainly(
    target: AnyAddress, *, new_protocol: Callable[[], asyncio.Protocol]
) -> asyncio.Transport:
    """Connect a protocol within `CONNECT_S`; raises OSError, TimeoutError among them."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_S):
        if isinstance(target, UnixAddress):
            unix, _ = await loop.create_unix_connection(new_protocol, str(target.path))
            return unix
        transport, _ = await loop.create_connection(new_protocol, target.host, target.port)
    stream = transport.get_extra_info("socket")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in ASKED_IF_ALIVE.items():
        if hasattr(socket, name):  # on Linux
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return transport


async def open_stream(
    target: AnyAddress, *, limit: int = 1 << 16
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return what `asyncio.open_connection` does; raises OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await dial_plainly(target, new_protocol=lambda: protocol)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
