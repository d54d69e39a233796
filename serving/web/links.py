"""Links of this web process to every ready replica in the directory."""

import asyncio
import logging
from collections.abc import Callable, Iterable, KeysView

from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.views import LinkView
from serving.engine.engine import Engine
from serving.engine.replica import Replica
from serving.rpc.connection import Connection, connect
from serving.rpc.errors import ConnectionLost, ProtocolError, RpcError
from serving.rpc.frames.codec import Frame, FrameType, decode_answers, encode_predict
from serving.rpc.frames.hello import Hello, decode_hello
from serving.rpc.tcp.credentials import Authentication, Credentials
from serving.rpc.text import safe_text

# A batch without inputs, which goes to the loop that runs the model and back.
PROBE = encode_predict(0, ())
# A replica that refuses us, or that we refuse, is not dialled again for this long.
REFUSED_PAUSE_S = 5.0

logger = logging.getLogger(__name__)


class ReplicaLinks:
    """One connection for each replica, used once the replica has answered a probe.

    Over TCP both ends prove that they know the secret. A replica that vanishes from the directory
    keeps its link while that works: the directory may be gone while the replica is well.
    """

    def __init__(
        self, engine: Engine, *, credentials: Credentials, on_change: Callable[[], object]
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._on_change = on_change
        self._links: dict[str, _Link] = {}
        self._addresses: dict[str, str] = {}
        self._faults: dict[str, str] = {}

    def sync(self, records: Iterable[ReplicaRecord]) -> None:
        """Open links to ready replicas that have none, and end those to failed ones."""
        known = {record.id: record for record in records}
        ready = {
            record.id: record for record in known.values() if record.state is ReplicaState.READY
        }
        self._addresses = {replica_id: record.address for replica_id, record in ready.items()}
        self._faults = {
            replica_id: why for replica_id, why in self._faults.items() if replica_id in ready
        }
        for replica_id, record in ready.items():
            if replica_id not in self._links:
                self._links[replica_id] = _Link(
                    record, authentication=self._credentials.to(replica_id), owner=self
                )
        failed = {record.id for record in known.values() if record.state is ReplicaState.FAILED}
        for replica_id in failed & self._links.keys():
            self._links[replica_id].abort()

    @property
    def linked(self) -> KeysView[str]:
        """Return the replicas with a link, or one that is being made."""
        return self._links.keys()

    @property
    def opening(self) -> list[asyncio.Task[None]]:
        """Return the tasks that open links."""
        return [link.opening for link in self._links.values() if not link.opening.done()]

    def views(self) -> dict[str, LinkView]:
        """Return the state of the link to each replica that is listed as ready."""
        return {
            replica_id: LinkView(
                address=address,
                proven=(link := self._links.get(replica_id)) is not None and link.is_proven,
                reason=self._faults.get(replica_id, ""),
            )
            for replica_id, address in self._addresses.items()
        }

    async def close(self) -> None:
        links = list(self._links.values())
        for link in links:
            link.close()
        await asyncio.gather(*(link.opening for link in links), return_exceptions=True)

    def opened(self, hello: Hello, connection: Connection) -> Replica:
        replica = self._engine.add_replica(hello, connection)
        self._faults.pop(hello.replica, None)
        logger.info(
            "replica connected id=%s version=%s:%s", hello.replica, hello.model, hello.version
        )
        self._on_change()
        return replica

    def failed(self, replica_id: str, error: Exception) -> None:
        """Remember why there is no link."""
        if replica_id in self._addresses:
            self._faults[replica_id] = explain(error)
            self._on_change()

    def ended(self, replica_id: str, error: Exception | None) -> None:
        self._links.pop(replica_id, None)
        logger.info("replica link ended id=%s reason=%s", replica_id, error or "closed")
        if error is not None:
            self.failed(replica_id, error)
        self._on_change()


class _Link:
    """One connection: HELLO, the probe, then queries."""

    def __init__(
        self, record: ReplicaRecord, *, authentication: Authentication, owner: ReplicaLinks
    ) -> None:
        self._id = record.id
        self._record = record
        self._owner = owner
        self._replica: Replica | None = None
        self._connection: Connection | None = None
        self._hello: Hello | None = None
        loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._answered: asyncio.Future[None] = loop.create_future()
        self.opening = asyncio.create_task(
            self._open(record.address, authentication=authentication), name=f"link.{record.id}"
        )

    @property
    def is_proven(self) -> bool:
        """Return whether the replica has answered the probe."""
        return self._replica is not None

    def close(self) -> None:
        self.opening.cancel()
        if self._connection is not None:
            self._connection.close()

    def abort(self) -> None:
        """End it at once; unanswered calls are asked of others."""
        if self._connection is not None:
            self._connection.abort()

    async def _open(self, address: str, *, authentication: Authentication) -> None:
        try:
            self._connection = await connect(
                address,
                on_frame=self._on_frame,
                on_lost=self._on_lost,
                on_writable=self._on_writable,
                # Over TCP with authentication, for which a replica has to finish its batch.
                timeout=5.0,
                authentication=authentication,
            )
            await _in_time(self._greeted, seconds=5.0, what="no HELLO")
            # The probe waits behind batches of other web processes, for as long as one may take.
            await _in_time(self._answered, seconds=60.0, what="no answer")
        except RpcError as error:
            self._owner.failed(self._id, error)
            if isinstance(error.__cause__, ProtocolError):
                logger.warning("replica refused id=%s reason=%s", self._id, error)
                await asyncio.sleep(REFUSED_PAUSE_S)
            if self._connection is not None:
                self._connection.abort()  # which ends the link
            else:
                self._owner.ended(self._id, error)

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        if self._replica is not None:
            self._replica.on_frame(frame)
        elif frame.type is FrameType.DRAIN:
            connection.close()  # it has been asked nothing yet
        elif self._hello is None:
            self._greet(connection, frame)
        else:
            self._prove(connection, frame, hello=self._hello)

    def _greet(self, connection: Connection, frame: Frame) -> None:
        if frame.type is not FrameType.HELLO:
            raise ProtocolError(f"expected HELLO first, got {frame.type.name}")
        self._hello = self._checked(frame)
        connection.send(PROBE)
        _settle(self._greeted)

    def _prove(self, connection: Connection, frame: Frame, *, hello: Hello) -> None:
        if frame.type is not FrameType.ANSWER or frame.request_id != 0:
            raise ProtocolError(f"expected the answer to the first question, got {frame.type.name}")
        answers, _ = decode_answers(frame.body)
        if answers:
            raise ProtocolError(f"expected no answers to no inputs, got {len(answers)}")
        self._replica = self._owner.opened(hello, connection)
        _settle(self._answered)

    def _checked(self, frame: Frame) -> Hello:
        """Return the HELLO. Raises ProtocolError if it isn't what the directory lists.

        Another replica may have got the address of one that is gone.
        """
        hello = decode_hello(frame.body)
        if hello.replica != self._id:
            raise ProtocolError(f"expected replica {self._id}, got {safe_text(hello.replica)}")
        if _served(hello) != _served(self._record):
            raise ProtocolError(f"expected {_named(self._record)}, got {_named(hello)}")
        return hello

    def _on_lost(self, connection: Connection, error: ConnectionLost | None) -> None:
        if self._replica is not None:
            self._replica.on_lost(error)
        for awaited in (self._greeted, self._answered):
            awaited.cancel()
        self._owner.ended(self._id, error)

    def _on_writable(self, connection: Connection) -> None:
        if self._replica is not None:
            self._replica.on_writable()


def _served(by: Hello | ReplicaRecord) -> tuple[str, str, int, int]:
    return (by.model, by.version, by.version_id, by.generation)


def _named(by: Hello | ReplicaRecord) -> str:
    return safe_text(f"{by.model}:{by.version} (id {by.version_id}, generation {by.generation})")


def explain(error: Exception) -> str:
    """Return why there is no link, in a few words."""
    cause = error.__cause__
    if isinstance(cause, ProtocolError):
        return f"handshake failed: {cause}"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, TimeoutError):
        return f"timeout: {error}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(error) or type(error).__name__


async def _in_time(awaited: asyncio.Future[None], *, seconds: float, what: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await awaited
    except TimeoutError as error:
        raise ConnectionLost(f"{what} within {seconds:g} s") from error


def _settle(awaited: asyncio.Future[None]) -> None:
    if not awaited.done():  # nobody waits for it any more
        awaited.set_result(None)
