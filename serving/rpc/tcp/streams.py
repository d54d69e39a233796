"""TCP between hosts: every stream passes a handshake, and TLS where it is set up, on both ends."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence

from serving.rpc.address import TcpAddress
from serving.rpc.errors import RpcError
from serving.rpc.tcp.credentials import Authentication
from serving.rpc.tcp.handshake_protocol import HandshakeProtocol

# A stranger has this long, TLS included, to prove himself.
HANDSHAKE_S = 10.0
# Streams that may be at it at a time; one more takes the place of the one that began first.
MAX_STRANGERS = 64

logger = logging.getLogger(__name__)


async def dial(
    target: TcpAddress, *, connection: asyncio.Protocol, authentication: Authentication
) -> None:
    """Open a stream and authenticate both ends; raises OSError, ConnectionLost, ProtocolError."""
    protocol = HandshakeProtocol(connection, handshake=authentication.new_handshake())
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, target.host, target.port, ssl=authentication.tls
        )
        await protocol.passed
    except BaseException:
        protocol.abort()
        raise


class TcpListener:
    """Accepts streams at a socket; the unauthenticated are bounded in number and time."""

    def __init__(
        self,
        bound: socket.socket,
        *,
        new_connection: Callable[[], asyncio.Protocol],
        authentication: Authentication,
    ) -> None:
        self.sockets = (bound,)
        self._new_connection = new_connection
        self._authentication = authentication
        self._unauthenticated: dict[asyncio.Task[None], str] = {}  # in the order of their arrival
        self._accepting = asyncio.create_task(self._accept(bound), name="tcp.accept")
        self._accepting.add_done_callback(lambda _: bound.close())

    def close(self) -> None:
        """Stop listening and drop who has not been authenticated; connections stay."""
        self._accepting.cancel()
        for newcomer in self._unauthenticated:
            newcomer.cancel()

    async def _accept(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                stream, peer = await loop.sock_accept(bound)
            except OSError as error:
                logger.warning("cannot accept connections: %s", error)
                await asyncio.sleep(0.5)  # out of descriptors it fails at once, and would for ever
                continue
            self._examine(stream, peer=f"{peer[0]}:{peer[1]}")

    def _examine(self, stream: socket.socket, *, peer: str) -> None:
        if len(self._unauthenticated) >= MAX_STRANGERS:
            eldest = next(iter(self._unauthenticated))
            reason = f"{MAX_STRANGERS} others came before it authenticated"
            _note_refusal(self._unauthenticated.pop(eldest), reason=reason)
            eldest.cancel()
        protocol = HandshakeProtocol(
            self._new_connection(), handshake=self._authentication.new_handshake()
        )
        newcomer = asyncio.create_task(
            self._admit(stream, protocol=protocol, peer=peer), name="tcp.admit"
        )
        self._unauthenticated[newcomer] = peer

        def forget(task: asyncio.Task[None]) -> None:
            self._unauthenticated.pop(task, None)
            if not protocol.has_stream:
                stream.close()

        newcomer.add_done_callback(forget)

    async def _admit(
        self, stream: socket.socket, *, protocol: HandshakeProtocol, peer: str
    ) -> None:
        """Wait until the peer has passed or failed; log a failure."""
        tls = self._authentication.tls
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol,
                    stream,
                    ssl=tls,
                    ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                )
                await protocol.passed
        except TimeoutError:
            _note_refusal(peer, reason=f"it did not authenticate within {HANDSHAKE_S:g} s")
        except (OSError, RpcError) as error:
            _note_refusal(peer, reason=str(error) or type(error).__name__)
        finally:
            protocol.abort()


def _note_refusal(peer: str, *, reason: str) -> None:
    logger.warning("connection refused peer=%s reason=%s", peer, reason)


async def bind(target: TcpAddress, *, ports: Sequence[int]) -> socket.socket:
    """Listen at the first port that is free; port 0 lets the system choose."""
    found = await asyncio.get_running_loop().getaddrinfo(
        target.host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, place = found[0]
    dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    for port in ports:
        place = (place[0], port, *place[2:])
        try:
            bound = socket.create_server(place, family=family, backlog=1024, dualstack_ipv6=dual)
            bound.setblocking(False)
            return bound
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(
        errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), f"{target.host}:{ports[0]}-{ports[-1]}"
    )
