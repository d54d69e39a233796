"""Keeps this web process connected to every ready replica in the directory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from serving.engine.engine import Engine
from serving.engine.replica import Replica
from serving.rpc.connection import Connection, connect
from serving.rpc.credentials import Admission, Credentials
from serving.rpc.errors import ConnectionLost, ProtocolError, RpcError
from serving.rpc.frames import Frame, FrameType, Hello, decode_hello

# Over TCP that includes authentication, for which a replica has to finish its batch.
CONNECT_TIMEOUT_S = 5.0
HELLO_TIMEOUT_S = 5.0
# A replica that refuses us, or that we refuse, is not dialled again for this long.
REFUSED_PAUSE_S = 5.0

logger = logging.getLogger(__name__)


class ReplicaLinks:
    """One connection a replica, opened once however many ask for it.

    Replicas are dialled where the directory says; over TCP both ends then prove that they know the
    secret. A replica that vanishes from the directory keeps its link for as long as the link
    works: the directory may be gone while the replica is well.
    """

    def __init__(
        self, engine: Engine, *, credentials: Credentials, on_change: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._on_change = on_change
        self._links: dict[str, _Link] = {}

    def sync(self, addresses: Mapping[str, str]) -> None:
        """Open a link to each of these replicas (id → address) that has none yet."""
        for replica_id, address in addresses.items():
            if replica_id not in self._links:
                self._links[replica_id] = _Link(
                    replica_id,
                    address=address,
                    admission=self._credentials.to(replica_id),
                    owner=self,
                )

    async def close(self) -> None:
        links = list(self._links.values())
        for link in links:
            link.close()
        await asyncio.gather(*(link.opening for link in links), return_exceptions=True)

    def opened(self, hello: Hello, connection: Connection) -> Replica:
        replica = self._engine.add_replica(hello, connection)
        logger.info(
            "replica connected id=%s version=%s:%s", hello.replica, hello.model, hello.version
        )
        self._on_change()
        return replica

    def ended(self, replica_id: str, error: Exception | None) -> None:
        self._links.pop(replica_id, None)
        logger.info("replica link ended id=%s reason=%s", replica_id, error or "closed")
        self._on_change()


class _Link:
    """From dialling to the end of the connection; what comes before HELLO is refused."""

    def __init__(
        self, replica_id: str, *, address: str, admission: Admission, owner: ReplicaLinks
    ) -> None:
        self._id = replica_id
        self._owner = owner
        self._replica: Replica | None = None
        self._connection: Connection | None = None
        self._hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opening = asyncio.create_task(
            self._open(address, admission=admission), name=f"link.{replica_id}"
        )

    def close(self) -> None:
        self.opening.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _open(self, address: str, *, admission: Admission) -> None:
        try:
            self._connection = await connect(
                address,
                on_frame=self._on_frame,
                on_lost=self._on_lost,
                on_writable=self._on_writable,
                timeout=CONNECT_TIMEOUT_S,
                admission=admission,
            )
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                await self._hello
        except RpcError as error:
            if isinstance(error.__cause__, ProtocolError):
                logger.warning("replica refused id=%s reason=%s", self._id, error)
                await asyncio.sleep(REFUSED_PAUSE_S)
            self._owner.ended(self._id, error)
        except TimeoutError as error:
            if self._connection is not None:
                self._connection.abort()
            else:
                self._owner.ended(self._id, error)

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        if self._replica is not None:
            self._replica.on_frame(frame)
        elif frame.type is FrameType.HELLO:
            self._replica = self._owner.opened(self._checked(frame), connection)
            if not self._hello.done():
                self._hello.set_result(None)
        else:
            raise ProtocolError(f"expected HELLO first, got {frame.type.name}")

    def _checked(self, frame: Frame) -> Hello:
        """Another replica may have got the address of one that is gone."""
        hello = decode_hello(frame.body)
        if hello.replica != self._id:
            raise ProtocolError(f"expected replica {self._id}, got {hello.replica}")
        return hello

    def _on_lost(self, connection: Connection, error: ConnectionLost | None) -> None:
        if self._replica is not None:
            self._replica.on_lost(error)
        if not self._hello.done():
            self._hello.cancel()
        self._owner.ended(self._id, error)

    def _on_writable(self, connection: Connection) -> None:
        if self._replica is not None:
            self._replica.on_writable()
