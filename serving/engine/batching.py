"""Batch controllers: how many queries one batch may hold. Pure: no clock, no waiting."""

from __future__ import annotations

from dataclasses import dataclass

# Paper §4.3.1: a small additive step, and a backoff of only 10 %, because the best batch size
# hardly moves; between 90 % and 100 % of the budget nothing changes.
STEP = 2
BACKOFF = 0.9
DEAD_BAND = 0.1


@dataclass(slots=True)
class Aimd:
    """Additive increase, multiplicative decrease of the batch size against a latency budget.

    `budget` is in seconds, and may be changed at any time; so may `max_size`.
    """

    budget: float
    max_size: int = 4096
    _cap: float = 1.0

    @property
    def cap(self) -> int:
        """The largest batch to send now, in queries."""
        return int(self._cap)

    def record(self, *, size: int, latency: float) -> None:
        """Learn that a batch of `size` queries took `latency` seconds."""
        if latency >= self.budget:
            self._cap = max(1.0, self._cap * BACKOFF)
        elif size >= self.cap and latency < self.budget * (1.0 - DEAD_BAND):
            # Only a full batch is evidence that a larger one would also fit.
            self._cap = min(float(self.max_size), self._cap + STEP)
