"""Additive increase, multiplicative decrease of the batch size (paper §4.3.1)."""

from dataclasses import dataclass

from serving.engine.batching.base import MAX_SIZE


@dataclass(slots=True)
class Aimd:
    """Two rows more after a full batch within 90 % of the budget, a tenth less after one over it.

    The steps are small because the best batch size hardly moves.
    """

    budget: float
    max_size: int = MAX_SIZE
    _cap: float = 1.0

    @property
    def cap(self) -> int:
        return min(int(self._cap), self.max_size)

    def record(self, *, size: int, latency: float) -> None:
        if latency >= self.budget:
            # From the cap in force, or one above a `max_size` since lowered would take many.
            self._cap = max(1.0, min(self._cap, self.max_size) * 0.9)
        elif size >= self.cap and latency < 0.9 * self.budget:
            # Only a full batch is evidence that a larger one would also fit.
            self._cap = min(float(self.max_size), self._cap + 2)
