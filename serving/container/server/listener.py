"""A replica's servers: one address, and peers answered here or by the model's process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from serving.container.child.link import Statistics
from serving.container.server.batch_server import BatchServer
from serving.rpc.address import TcpAddress
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.connection import NewProtocol, accept, remove_socket
from serving.rpc.frames.hello import Hello, encode_hello
from serving.rpc.tcp.credentials import Credentials

if TYPE_CHECKING:
    from serving.container.child.child_process import ChildPredictor
    from serving.container.predictor import BatchPredictor
    from serving.rpc.connection import Listener

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpListen:
    """It binds the first free one of `ports` on `bind_host`; others dial `advertise_host`."""

    advertise_host: str
    bind_host: str
    credentials: Credentials
    ports: range = range(1)  # the system chooses


class ReplicaListener:
    """Listens at a Unix socket, or on TCP, where peers authenticate; others dial `address`."""

    def __init__(self, at: str | TcpListen, *, hello: Hello) -> None:
        self.address = at if isinstance(at, str) else ""
        self._at = at
        self._hello = hello
        self._listener: Listener | None = None

    async def listen(self, new_protocol: NewProtocol) -> None:
        """Make a protocol for each peer; raises OSError if the address is taken."""
        at = self._at
        if isinstance(at, str):
            self._listener = await accept(at, new_protocol=new_protocol)
            return
        self._listener = await accept(
            str(TcpAddress(at.bind_host, at.ports[0])),
            new_protocol=new_protocol,
            authentication=at.credentials.of(self._hello),
            ports=at.ports,
        )
        port = self._listener.sockets[0].getsockname()[1]
        self.address = str(TcpAddress(at.advertise_host, port))

    def stop_listening(self) -> None:
        """Accept no more peers; the connected ones stay."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        remove_socket(self.address)


class PassedOn(asyncio.Protocol):
    """Says HELLO on a peer's stream and hands it over, without reading anything from it."""

    def __init__(self, admit: Callable[[int], None], *, greeting: bytes) -> None:
        self._admit = admit
        self._greeting = greeting
        self._descriptor = -1
        self._spoke = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        stream = cast("asyncio.Transport", transport)
        try:
            self._descriptor = os.dup(stream.get_extra_info("socket").fileno())
        except OSError as error:
            logger.warning("peer not admitted: %s", error)
            stream.abort()
            return
        stream.write(self._greeting)
        # Only this process's hold on it, once all is written; until then nothing is read.
        stream.close()

    def data_received(self, data: bytes) -> None:
        """Over TCP, what came with its proof: too soon, as it knows nobody here yet."""
        self._spoke = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._descriptor < 0:
            return
        try:
            if exc is None and not self._spoke:
                self._admit(self._descriptor)
        except OSError as error:
            logger.warning("peer not admitted: %s", error)
        finally:
            os.close(self._descriptor)


class ContainerServer(ReplicaListener, BatchServer):
    """Answers its peers in this process."""

    def __init__(self, predictor: BatchPredictor, *, hello: Hello, at: str | TcpListen) -> None:
        ReplicaListener.__init__(self, at, hello=hello)
        BatchServer.__init__(
            self, predictor, greeting=encode_hello(hello), concurrency=hello.concurrency
        )

    async def start(self) -> None:
        keep_freed_memory()
        await self.listen(self.new_connection)

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109  # it is the point
        """Wait `timeout` seconds for peers to close, then cut them off; return whether all had."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.peers_gone()
        all_gone = not self.connections
        self.stop_listening()
        self.cut_off()
        return all_gone


class ChildServer(ReplicaListener):
    """Hands its peers over to the model's process. Not those with TLS: its state stays here."""

    def __init__(self, predictor: ChildPredictor, *, hello: Hello, at: str | TcpListen) -> None:
        super().__init__(at, hello=hello)
        self._predictor = predictor
        self._greeting = encode_hello(hello)

    @property
    def statistics(self) -> Statistics:
        """The last ones that the model's process reported."""
        return self._predictor.statistics

    async def start(self) -> None:
        await self.listen(lambda: PassedOn(self._predictor.admit, greeting=self._greeting))

    def drain(self) -> None:
        self._predictor.drain()

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109  # it is the point
        all_gone = await asyncio.to_thread(self._predictor.wait_drained, timeout)
        self.stop_listening()
        return all_gone
