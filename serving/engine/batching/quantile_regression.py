"""The batch size at which the 99th percentile of the latency meets the budget (paper §4.3.1)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from serving.engine.batching.aimd import BACKOFF, DEAD_BAND, STEP
from serving.engine.batching.base import MAX_SIZE
from serving.engine.batching.quantile_line import Line, quantile_line

QUANTILE = 0.99
# A replica that became faster shows it once the slow batches have left the window.
WINDOW = 512
REFIT_EVERY = 128
# A line needs that many batches, with some on either side of this share of the largest of them.
LEAST_BATCHES = 64
LEAST_ON_EITHER_SIDE = 3
SMALL = 0.6
# Every so many batches one is half as large, so that a replica under constant load, whose batches
# would all be of one size, keeps showing how its latency depends on it.
SMALLER_EVERY = 16
LEAST_TO_HALVE = 4
# Towards a limit that the line promises the size grows by this share with each full batch.
GROWTH = 1.0 / 16
# Sizes that the line forbade for a while are allowed again at most this far beyond the largest in
# the window; anything else larger is reached by growing.
EXTRAPOLATION = 2.0
# A batch is late where it took this share longer than the budget: a drift of less is for the next
# fit. With one late batch in a hundred the sum of them stays far below its limit.
LATE_BY = 0.1
LATE_LIMIT = 3.0
LATE_FORGIVEN = 0.1


@dataclass(slots=True)
class QuantileRegression:
    """Grows up to where the P99 of the latency, a line in the batch size, meets the budget.

    While the window of recent batches shows no such line it explores as `Aimd` does. A batch
    over the budget by chance changes nothing; several close together mean that the replica became
    slower, and then the window is forgotten.
    """

    budget: float
    max_size: int = MAX_SIZE
    _cap: float = 1.0
    _line: Line | None = None
    _late: float = 0.0
    _count: int = 0
    _refit_at: int = LEAST_BATCHES
    _sizes: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @property
    def cap(self) -> int:
        cap = self._full_size
        if self._count % SMALLER_EVERY == SMALLER_EVERY - 1 and cap >= LEAST_TO_HALVE:
            return cap // 2
        return cap

    def record(self, *, size: int, latency: float) -> None:
        self._sizes.append(size)
        self._latencies.append(latency)
        if self._line is None:
            self._explore(size, latency)
        else:
            self._approach(size, latency)
        self._count += 1
        if self._count >= self._refit_at:
            self._refit()

    @property
    def _full_size(self) -> int:
        return max(1, int(min(self._cap, self._limit)))

    @property
    def _limit(self) -> float:
        """The largest batch that line and `max_size` allow."""
        line = self._line
        if line is None:
            return self.max_size
        left = self.budget - line.intercept
        if left <= 0.0:
            return 1.0
        # In this order since the slope may be 0.
        return self.max_size if left >= line.slope * self.max_size else left / line.slope

    def _explore(self, size: int, latency: float) -> None:
        if latency >= self.budget:
            self._cap = max(1.0, min(self._cap, self.max_size) * BACKOFF)
        elif size >= self._full_size and latency < self.budget * (1.0 - DEAD_BAND):
            self._cap = min(float(self.max_size), self._cap + STEP)

    def _approach(self, size: int, latency: float) -> None:
        if latency > self.budget * (1.0 + LATE_BY):
            self._late += 1.0
            if self._late >= LATE_LIMIT:
                self._forget()
            return
        self._late = max(0.0, self._late - LATE_FORGIVEN)
        full_size = self._full_size
        if size >= full_size and latency < self.budget:
            grown = full_size + max(STEP, full_size * GROWTH)
            self._cap = max(self._cap, min(grown, self._limit))

    def _forget(self) -> None:
        self._cap = max(1.0, self._full_size * BACKOFF**LATE_LIMIT)
        self._line = None
        self._late = 0.0
        self._refit_at = self._count + LEAST_BATCHES
        self._sizes.clear()
        self._latencies.clear()

    def _refit(self) -> None:
        if self._limit < self._cap:
            self._cap = min(self._cap, EXTRAPOLATION * max(self._sizes))
        self._line = None
        self._refit_at = self._count + LEAST_BATCHES
        if self._spread():
            line = quantile_line(self._sizes, self._latencies, quantile=QUANTILE)
            # Where even an empty batch is predicted to be late the size isn't what makes it so.
            if line.intercept < self.budget:
                self._line = line
                self._refit_at = self._count + REFIT_EVERY

    def _spread(self) -> bool:
        if len(self._sizes) < LEAST_BATCHES:
            return False
        border = SMALL * max(self._sizes)
        small = sum(size <= border for size in self._sizes)
        return LEAST_ON_EITHER_SIDE <= small <= len(self._sizes) - LEAST_ON_EITHER_SIDE
