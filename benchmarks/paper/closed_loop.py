"""The closed loop in this process: clients that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import cycle
from time import monotonic
from typing import NamedTuple

from benchmarks.command import Failed
from benchmarks.experiment import run_on_uvloop
from benchmarks.paper.frontend import FAR_SECONDS, Batch, RecordingEngine, front_end
from registry.specs import BatchingSpec, VersionSpec
from serving.cluster.membership.records import ReplicaRecord
from serving.engine.gather import Gather
from serving.engine.outcome import Outcome, Status
from serving.testing.specs import version_spec


class ClosedLoop:
    """Keeps `clients` queries outstanding, each followed by a pause of random length.

    Pauses are drawn from an exponential distribution with mean `think` seconds. Queries go past
    the cache: every one costs the model something. `latencies` are those of the queries that were
    answered since the last `restart`.
    """

    def __init__(
        self,
        engine: RecordingEngine,
        *,
        version: VersionSpec,
        inputs: Sequence[bytes],
        clients: int,
        think: float = 0.0,
    ) -> None:
        self.latencies: list[float] = []
        self.failure: str | None = None
        self._engine = engine
        self._version = version
        self._inputs = cycle(inputs)
        self._clients = clients
        self._think = think
        self._random = random.Random(1)
        self._asking = False

    async def run(self, *, warm_up: float, seconds: float) -> float:
        """Ask for so long; return how long exactly what was recorded took."""
        self._asking = True
        for _ in range(self._clients):
            self.again()
        await asyncio.sleep(warm_up)
        self.latencies.clear()
        self._engine.batches.clear()
        started = monotonic()
        await asyncio.sleep(seconds)
        self._asking = False
        elapsed = monotonic() - started
        if self.failure is not None:
            raise Failed(f"a query was not answered by the model: {self.failure}")
        return elapsed

    def again(self) -> None:
        """Have one client ask its next question, after its pause."""
        if self._think > 0.0:
            pause = self._random.expovariate(1.0 / self._think)
            asyncio.get_running_loop().call_later(pause, self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        if not self._asking:
            return
        now = monotonic()
        self._engine.ask(
            self._version,
            key=None,
            input=next(self._inputs),
            deadline=now + FAR_SECONDS,
            gather=_Asked(self, at=now),
            index=0,
        )

    def answered(self, outcome: Outcome, *, asked_at: float) -> None:
        if outcome.status == Status.OK:
            self.latencies.append(monotonic() - asked_at)
        elif self._asking:
            self.failure = outcome.payload.decode(errors="replace")
            return
        self.again()


class _Asked(Gather):
    """Asks the next question when its answer is there, without waking a task for it.

    A task and a future for each query would take the load generator, which shares its core with
    the engine, about as long as the engine itself.
    """

    __slots__ = ("_asked_at", "_loop")

    def __init__(self, loop: ClosedLoop, *, at: float) -> None:
        super().__init__(calls=1, deadlines=loop._engine.deadlines)
        self._loop = loop
        self._asked_at = at

    def arrive(self, index: int, outcome: Outcome) -> None:
        self._loop.answered(outcome, asked_at=self._asked_at)


class Ran(NamedTuple):
    """What a closed loop saw: seconds of each query, each batch, and how long it took."""

    latencies: list[float]
    batches: list[Batch]
    elapsed: float


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
    """Ask the containers of one model through an engine with that batching, for so long."""
    version = version_spec(model=containers[0].model, batching=batching)

    async def work() -> Ran:
        async with front_end(containers, version=version, batch_budget=batch_budget) as engine:
            loop = ClosedLoop(engine, version=version, inputs=inputs, clients=clients, think=think)
            elapsed = await loop.run(warm_up=warm_up, seconds=seconds)
            return Ran(list(loop.latencies), list(engine.batches), elapsed)

    return run_on_uvloop(work())
