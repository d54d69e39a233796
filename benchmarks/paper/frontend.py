"""A web process's engine in this process, connected to real containers: no HTTP in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from benchmarks.paper.collector import calm_collector
from benchmarks.paper.containers import Container, records
from registry.specs import BatchingSpec, VersionSpec
from serving.engine.batching import BatchController
from serving.engine.engine import Engine, EngineSpec, VersionSettings
from serving.engine.replica import Replica
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.connection import Connection
from serving.rpc.credentials import Credentials
from serving.rpc.frames import Hello
from serving.web.links import ReplicaLinks

CONNECT_SECONDS = 10.0
SWEEP_SECONDS = 1.0
# No query is to expire: what is measured is how fast all are answered.
FAR_SECONDS = 600.0
# More than any closed loop here has outstanding.
QUEUE_CAPACITY = 100_000


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

    def add_replica(self, hello: Hello, connection: Connection) -> Replica:
        replica = super().add_replica(hello, connection)
        planner = replica.planner
        planner.controller = RecordingController(planner.controller, batches=self.batches)
        self.replicas_connected += 1
        return replica


@asynccontextmanager
async def front_end(
    containers: Sequence[Container],
    *,
    version: VersionSpec,
    batch_budget: float | None = None,
) -> AsyncIterator[RecordingEngine]:
    """An engine whose replicas of `version` are these containers; all are connected.

    `batch_budget` seconds are what a batch may take, as in the paper, where the objective is the
    batch's alone.
    """
    keep_freed_memory()
    engine = RecordingEngine(EngineSpec(queue_capacity=QUEUE_CAPACITY, batch_budget_s=batch_budget))
    engine.configure(
        {version.id: VersionSettings(batching=version.batching, answer_within_s=FAR_SECONDS)}
    )
    engine.expect([version.id])
    changed = asyncio.Event()
    # Unix sockets belong to one user: nobody asks for a secret.
    links = ReplicaLinks(engine, credentials=Credentials(secret=b""), on_change=changed.set)
    links.sync(records(containers))
    sweeping = asyncio.create_task(_sweep(engine))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while engine.replicas_connected < len(containers):
                changed.clear()
                await changed.wait()
        with calm_collector():
            yield engine
    finally:
        sweeping.cancel()
        engine.close()
        await links.close()


async def _sweep(engine: Engine) -> None:
    """What a web process does beside the queries."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        engine.sweep()


def version_of(name: str, *, batching: BatchingSpec, version_id: int = 1) -> VersionSpec:
    return VersionSpec(
        id=version_id,
        model_id=version_id,
        model=name,
        version="1",
        runtime="python",
        input_type="doubles",
        digest="",
        device="cpu",
        replicas=1,
        allow_pickle=False,
        generation=1,
        batching=batching,
    )
