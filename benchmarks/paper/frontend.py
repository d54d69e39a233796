"""A web process's engine, or its whole runtime, connected to real containers in this process.

Without HTTP and Redis; what needs that does nothing meanwhile: the arms weigh the same.
"""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import cycle
from time import monotonic
from typing import NamedTuple

from benchmarks.command import Failed
from benchmarks.experiment import run_on_uvloop
from core.specs import BatchingSpec, Snapshot, VersionSpec
from registry.following.row_changes import differences
from serving.cluster.membership.records import ReplicaRecord
from serving.engine.engine import Engine, EngineSpec, Target, VersionSettings
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Outcome, Status
from serving.engine.stats import VersionStats
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.tcp.credentials import Credentials
from serving.testing.registry import registry_of
from serving.testing.specs import version_spec
from serving.web.links import ReplicaLinks
from serving.web.runtime import Runtime, RuntimeSpec

CONNECT_SECONDS, SWEEP_SECONDS, LOOK_AGAIN_SECONDS = 10.0, 1.0, 0.02
# No query is to expire: what is measured is how fast all are answered.
FAR_SECONDS = 600.0
# More than any closed loop here has outstanding.
ENGINE = EngineSpec(queue_capacity=100_000)
# Unix sockets belong to one user: nobody asks for a secret.
NOBODYS = Credentials(secret=b"")
# As in a web process (clipper_site/predict_asgi.py).
GC_THRESHOLDS = (10_000, 20, 100)


class BatchLog(VersionStats):
    """Counts as the engine always does, and keeps every batch: its queries, and its own seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, float]] = []

    def record_batch(self, *, waits: list[float], seconds: float, model_seconds: float) -> None:
        self.batches.append((len(waits), seconds))
        super().record_batch(waits=waits, seconds=seconds, model_seconds=model_seconds)


class Ran(NamedTuple):
    """The measurements of a closed loop: seconds of each query, each batch, and the whole."""

    latencies: list[float]
    batches: list[tuple[int, float]]
    elapsed: float


PAST_CACHE = CallOptions(cached=False)


class ClosedLoop:
    """Clients that ask again, past the cache, after an exponential pause of mean `think`."""

    def __init__(
        self, engine: Engine, *, version: VersionSpec, inputs: Sequence[bytes], think: float
    ) -> None:
        self.engine = engine
        self.latencies: list[float] = []
        self.asking, self.failure = True, ""
        self._target = Target.of(version)
        self._inputs = cycle(inputs)
        self._think = think
        self._random = random.Random(1)

    def again(self) -> None:
        """Have one client ask its next question, after its pause."""
        if self._think > 0.0:
            pause = self._random.expovariate(1.0 / self._think)
            asyncio.get_running_loop().call_later(pause, self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        if self.asking:
            asked = _Asked(self, at=monotonic())
            self.engine.ask(
                asked, [self._target], input=next(self._inputs), deadline=monotonic() + FAR_SECONDS,
                options=PAST_CACHE,
            )  # fmt: skip

    def answered(self, outcome: Outcome, *, asked_at: float) -> None:
        if outcome.status == Status.OK:
            self.latencies.append(monotonic() - asked_at)
            self.again()
        elif self.asking:
            self.failure = outcome.payload.decode(errors="replace")


class _Asked(Gather):
    """Asks the next question when its answer is there, without waking a task for it.

    A task and a future for each query would take about as long as the engine itself.
    """

    __slots__ = ("_asked_at", "_loop")

    def __init__(self, loop: ClosedLoop, *, at: float) -> None:
        super().__init__(calls=1)
        self._loop = loop
        self._asked_at = at

    def arrive(self, index: int, outcome: Outcome) -> None:
        self._loop.answered(outcome, asked_at=self._asked_at)


def ran(
    containers: Sequence[ReplicaRecord],
    *,
    batching: BatchingSpec,
    inputs: Sequence[bytes],
    clients: int,
    warm_up: float,
    seconds: float,
    think: float = 0.0,
    batch_budget: float | None = None,
) -> Ran:
    """Ask the containers of one model through an engine with that batching, for so long.
    `batch_budget` seconds are what a batch may take, as in the paper, where the objective is the
    batch's alone.
    """

    async def work() -> Ran:
        engine = Engine(replace(ENGINE, batch_budget_s=batch_budget))
        engine.configure({1: VersionSettings(batching=batching, answer_within_s=FAR_SECONDS)})
        log = engine.stats[1] = BatchLog()
        engine.expect([1])
        came: list[None] = []
        links = ReplicaLinks(engine, credentials=NOBODYS, on_change=lambda: came.append(None))
        version = version_spec(model=containers[0].model, batching=batching)
        loop = ClosedLoop(engine, version=version, inputs=inputs, think=think)
        try:
            links.sync(list(containers))
            async with _at_work(engine, connected=lambda: len(came) >= len(containers)):
                for _ in range(clients):
                    loop.again()
                await asyncio.sleep(warm_up)
                loop.latencies.clear()
                log.batches.clear()
                started = monotonic()
                await asyncio.sleep(seconds)
                loop.asking = False
                if loop.failure:
                    raise Failed(f"a query was not answered by the model: {loop.failure}")
                return Ran(list(loop.latencies), list(log.batches), monotonic() - started)
        finally:
            engine.close()
            await links.close()

    return run_on_uvloop(work())


@asynccontextmanager
async def web_process(
    snapshot: Snapshot, *, containers: Sequence[ReplicaRecord]
) -> AsyncIterator[Runtime]:
    """A runtime that knows `snapshot`, and is linked to a container at least of each version.
    Queries take the whole path, from the choice of the arms to the signed receipt. Batches are made
    for the shortest objective of those applications that ask a version.
    """
    runtime = Runtime(
        RuntimeSpec(
            redis_url="unix:///nonexistent",
            registry_channel="none",
            receipt_secret=b"of nobody",
            credentials=NOBODYS,
            engine=ENGINE,
            max_body_bytes=1 << 20,
            registry=registry_of(lambda: snapshot),
            check_database=lambda: None,
        )
    )
    runtime.served.apply(differences(Snapshot(), snapshot))
    runtime.links.sync(list(containers))
    connected = lambda: all(map(runtime.engine.connected, snapshot.versions))  # noqa: E731
    try:
        async with _at_work(runtime.engine, connected=connected):
            yield runtime
    finally:
        await runtime.links.close()
        runtime.engine.close()
        await runtime.redis.aclose()


@asynccontextmanager
async def _at_work(engine: Engine, *, connected: Callable[[], bool]) -> AsyncIterator[None]:
    """Wait until it is connected, and do what a web process does beside the queries."""
    keep_freed_memory()
    sweeping = asyncio.create_task(_sweep(engine))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while not connected():  # noqa: ASYNC110 - nothing tells of all links at once
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        with calm_gc():
            yield
    finally:
        sweeping.cancel()


async def _sweep(engine: Engine) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        engine.sweep()


@contextmanager
def calm_gc() -> Iterator[None]:
    """Don't look for garbage among what was there before, which here is all of scikit-learn."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
