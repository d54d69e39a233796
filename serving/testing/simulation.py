"""One replica and its clients in simulated time: what a controller and a wait make of a load."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.engine.batching import BatchController, FixedWait, FullBatches, Wait
from serving.engine.replica import PIPELINE

CLIENT, ANSWER, DUE = "client", "answer", "due"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModel:
    """How long a model takes for a batch: `fixed + per_row * size` seconds.

    Give or take `noise` (its standard deviation as a share); and a `pause_share` of the batches
    takes `pause` seconds more.
    """

    fixed: float = 0.0
    per_row: float = 0.0
    noise: float = 0.0
    pause: float = 0.0
    pause_share: float = 0.0

    def seconds(self, size: int, *, chance: random.Random) -> float:
        seconds = self.fixed + self.per_row * size
        if self.noise:
            seconds *= max(0.5, chance.gauss(1.0, self.noise))
        if self.pause and chance.random() < self.pause_share:
            seconds += self.pause
        return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """`clients` that each ask again `think` seconds (on average) after their answer."""

    clients: int
    think: float = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoop:
    """A Poisson stream of queries."""

    rate: float


@dataclass(slots=True)
class Measured:
    """What a load got within `seconds`: each query's latency, each batch's size and seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    batches: list[tuple[int, float]] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def mean_latency(self) -> float:
        return sum(self.latencies) / len(self.latencies)

    @property
    def mean_size(self) -> float:
        return sum(size for size, _ in self.batches) / len(self.batches)

    def batch_latency(self, share: float) -> float:
        latencies = sorted(latency for _, latency in self.batches)
        return latencies[int(share * (len(latencies) - 1))]


class Simulation:
    """The replica's rules in `serving.engine.replica`, with events instead of sockets.

    It is quick, a million queries in seconds, and knows one replica that everybody asks past the
    cache. `wire` is how many seconds a batch and its answer travel each.
    """

    def __init__(
        self,
        *,
        load: ClosedLoop | OpenLoop,
        model: SimulatedModel,
        controller: BatchController,
        wait: Wait | None = None,
        wire: float = 0.0001,
        seed: int = 1,
    ) -> None:
        self.model = model
        self.controller = controller
        self.wait = wait or FixedWait(seconds=0.0, budget=controller.budget)
        self.now = 0.0
        self.measured = Measured()
        self._load = load
        self._wire = wire
        self._chance = random.Random(seed)
        self._queue: deque[float] = deque()
        self._in_flight: deque[tuple[list[float], float]] = deque()
        self._events: list[tuple[float, int, str]] = []
        self._order = 0
        self._model_free_at = 0.0
        self._last_answer_at = 0.0
        self._due = -1.0
        first = load.clients if isinstance(load, ClosedLoop) else 1
        for _ in range(first):
            self._at(self._chance.random() * 0.001, CLIENT)

    def run(self, seconds: float) -> Measured:
        """Return what was measured within that much more time."""
        self.measured = Measured()
        end = self.now + seconds
        happens: dict[str, Callable[[], None]] = {
            CLIENT: self._ask,
            ANSWER: self._answer,
            DUE: lambda: None,
        }
        while self._events[0][0] < end:
            self.now = self._events[0][0]
            # What happens at once shares a batch, as within one turn of the event loop.
            while self._events[0][0] == self.now:
                happens[heapq.heappop(self._events)[2]]()
                if not self._events:
                    break
            self._flush()
        self.now = end
        self.measured.seconds = seconds
        return self.measured

    def _at(self, when: float, what: str) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, what))

    def _ask(self) -> None:
        self._queue.append(self.now)
        if isinstance(self._load, OpenLoop):
            self._at(self.now + self._chance.expovariate(self._load.rate), CLIENT)

    def _answer(self) -> None:
        asked, sent_at = self._in_flight.popleft()
        size = len(asked)
        busy = self.now - max(sent_at, self._last_answer_at)
        elapsed = self.now - self._last_answer_at
        self._last_answer_at = self.now
        self.controller.record(size=size, latency=busy)
        self.wait.record(size=size, elapsed=elapsed, busy=busy)
        self.measured.batches.append((size, busy))
        for asked_at in asked:
            self.measured.latencies.append(self.now - asked_at)
            if isinstance(self._load, ClosedLoop):
                think = self._load.think
                self._at(self.now + self._chance.expovariate(1.0 / think), CLIENT)

    def _flush(self) -> None:
        while self._queue and len(self._in_flight) < PIPELINE:
            if len(self._queue) < self.controller.cap and self.wait.seconds > 0.0:
                if self._in_flight:
                    return
                due = max(self._queue[0], self._last_answer_at) + self.wait.seconds
                if self.now < due:
                    if due != self._due:
                        self._due = due
                        self._at(due, DUE)
                    return
            self._send()

    def _send(self) -> None:
        size = min(len(self._queue), self.controller.cap)
        asked = [self._queue.popleft() for _ in range(size)]
        self._in_flight.append((asked, self.now))
        begins = max(self.now + self._wire, self._model_free_at)
        self._model_free_at = begins + self.model.seconds(size, chance=self._chance)
        self._at(self._model_free_at + self._wire, ANSWER)


def throughput_of_wait(
    seconds: float,
    *,
    load: ClosedLoop | OpenLoop,
    model: SimulatedModel,
    budget: float,
    run: float = 10.0,
) -> float:
    """Queries per second of a replica that always waits for so long, its batches unlimited."""
    simulation = Simulation(
        load=load,
        model=model,
        controller=FullBatches(budget=budget, max_size=4096),
        wait=FixedWait(seconds=seconds, budget=budget),
    )
    simulation.run(run / 5)
    return simulation.run(run).throughput
