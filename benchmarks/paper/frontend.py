"""A web process's engine, or its whole runtime, in this process, connected to real containers.

There is no HTTP in between and no Redis. What needs that does nothing meanwhile, as in an outage:
no feedback comes, so the arms weigh the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from benchmarks.paper.calm_gc import calm_gc
from registry.specs import Snapshot, VersionSpec
from serving.cluster.membership.records import ReplicaRecord
from serving.engine.batching import BatchController
from serving.engine.engine import Engine, EngineSpec, VersionSettings
from serving.engine.link import Link
from serving.engine.replica import Replica
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.credentials import Credentials
from serving.rpc.frames import Hello
from serving.web.links import ReplicaLinks
from serving.web.runtime import Runtime, RuntimeSpec

CONNECT_SECONDS, SWEEP_SECONDS = 10.0, 1.0
# No query is to expire: what is measured is how fast all are answered.
FAR_SECONDS = 600.0
# More than any closed loop here has outstanding.
QUEUE_CAPACITY = 100_000
# Unix sockets belong to one user: nobody asks for a secret.
NOBODYS = Credentials(secret=b"")


class Batch(NamedTuple):
    """One batch as its controller learned of it: queries, and the seconds it took by itself."""

    size: int
    seconds: float


class RecordingController:
    """Hands everything on to a controller, and remembers what it was told."""

    def __init__(self, controller: BatchController, *, batches: list[Batch]) -> None:
        self._controller = controller
        self._batches = batches

    @property
    def budget(self) -> float:
        return self._controller.budget

    @budget.setter
    def budget(self, seconds: float) -> None:
        self._controller.budget = seconds

    @property
    def max_size(self) -> int:
        return self._controller.max_size

    @max_size.setter
    def max_size(self, size: int) -> None:
        self._controller.max_size = size

    @property
    def cap(self) -> int:
        return self._controller.cap

    def record(self, *, size: int, latency: float) -> None:
        self._batches.append(Batch(size, latency))
        self._controller.record(size=size, latency=latency)


class RecordingEngine(Engine):
    """The engine as it is, with a list of all batches, and a count of those who connected."""

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec)
        self.batches: list[Batch] = []
        self.replicas_connected = 0

    def add_replica(self, hello: Hello, connection: Link) -> Replica:
        replica = super().add_replica(hello, connection)
        planner = replica.planner
        planner.controller = RecordingController(planner.controller, batches=self.batches)
        self.replicas_connected += 1
        return replica


@asynccontextmanager
async def front_end(
    containers: Sequence[ReplicaRecord],
    *,
    version: VersionSpec,
    batch_budget: float | None = None,
) -> AsyncIterator[RecordingEngine]:
    """An engine whose replicas of `version` are these containers; all are connected.

    `batch_budget` seconds are what a batch may take, as in the paper, where the objective is the
    batch's alone.
    """
    engine = RecordingEngine(EngineSpec(queue_capacity=QUEUE_CAPACITY, batch_budget_s=batch_budget))
    engine.configure(
        {version.id: VersionSettings(batching=version.batching, answer_within_s=FAR_SECONDS)}
    )
    engine.expect([version.id])
    changed = asyncio.Event()
    links = ReplicaLinks(engine, credentials=NOBODYS, on_change=changed.set)
    links.sync(list(containers))
    try:
        connected = lambda: engine.replicas_connected >= len(containers)  # noqa: E731
        async with _at_work(engine, changed=changed, connected=connected):
            yield engine
    finally:
        engine.close()
        await links.close()


class WatchedRuntime(Runtime):
    """The runtime as it is, which tells when a replica has come or gone."""

    def __init__(self, spec: RuntimeSpec) -> None:
        super().__init__(spec)
        self.changed = asyncio.Event()

    def _replica_came_or_went(self) -> None:
        super()._replica_came_or_went()
        self.changed.set()


@asynccontextmanager
async def web_process(
    snapshot: Snapshot, *, containers: Sequence[ReplicaRecord]
) -> AsyncIterator[Runtime]:
    """A runtime that knows `snapshot`, and is linked to a container at least of each version.

    Queries take the whole path, from the choice of the arms to the signed receipt. Batches are made
    for the shortest objective of those applications that ask a version.
    """
    runtime = WatchedRuntime(
        RuntimeSpec(
            redis_url="unix:///nonexistent",
            registry_channel="none",
            receipt_secret=b"of nobody",
            credentials=NOBODYS,
            engine=EngineSpec(queue_capacity=QUEUE_CAPACITY),
            max_body_bytes=1 << 20,
            read_snapshot=lambda: snapshot,
            check_database=lambda: None,
        )
    )
    runtime.router.apply(snapshot)
    runtime.links.sync(list(containers))
    try:
        connected = lambda: all(map(runtime.engine.connected, snapshot.versions))  # noqa: E731
        async with _at_work(runtime.engine, changed=runtime.changed, connected=connected):
            yield runtime
    finally:
        await runtime.links.close()
        runtime.engine.close()
        await runtime.redis.aclose()


@asynccontextmanager
async def _at_work(
    engine: Engine, *, changed: asyncio.Event, connected: Callable[[], bool]
) -> AsyncIterator[None]:
    """Wait until it is connected, and do what a web process does beside the queries."""
    keep_freed_memory()
    sweeping = asyncio.create_task(_sweep(engine))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while not connected():
                changed.clear()
                await changed.wait()
        with calm_gc():
            yield
    finally:
        sweeping.cancel()


async def _sweep(engine: Engine) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        engine.sweep()
