"""One replica that never lacks queries, in simulated time: what a batch controller makes of it."""

import random
from dataclasses import dataclass, field

from serving.engine.batching.base import BatchController


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModel:
    """A model that takes `fixed + per_row * size` seconds for a batch.

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


@dataclass(slots=True)
class Measured:
    """The batches answered within `seconds`: each one's size and seconds."""

    seconds: float = 0.0
    batches: list[tuple[int, float]] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        return sum(size for size, _ in self.batches) / self.seconds

    @property
    def mean_size(self) -> float:
        return sum(size for size, _ in self.batches) / len(self.batches)

    def batch_latency(self, share: float) -> float:
        latencies = sorted(latency for _, latency in self.batches)
        return latencies[int(share * (len(latencies) - 1))]


class Simulation:
    """Full batches, one after the other, as large as the controller allows."""

    def __init__(
        self, *, model: SimulatedModel, controller: BatchController, seed: int = 1
    ) -> None:
        self.model = model
        self.controller = controller
        self._chance = random.Random(seed)

    def run(self, seconds: float) -> Measured:
        """Return what was measured within that much more time."""
        measured = Measured()
        while measured.seconds < seconds:
            size = self.controller.cap
            latency = self.model.seconds(size, chance=self._chance)
            self.controller.record(size=size, latency=latency)
            measured.batches.append((size, latency))
            measured.seconds += latency
        return measured
