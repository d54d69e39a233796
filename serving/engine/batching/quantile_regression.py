"""The batch size at which the 99th percentile of the latency meets the budget (paper §4.3.1)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

from serving.engine.batching.aimd import Aimd

# Five batches in a hundred of the window lie above the line; a fit takes about a millisecond.
WINDOW = 512
REFIT_EVERY = 128
# One batch in so many is half as large: under constant load all would be of one size, and no line
# could be fitted.
SMALLER_EVERY = 16


class Line(NamedTuple):
    intercept: float
    slope: float


@dataclass(slots=True)
class QuantileRegression(Aimd):
    """Grows as `Aimd` does, up to where the P99 of the latency meets the budget.

    That is a line in the size. Below it one late batch changes nothing, a second in a row does.
    """

    _line: Line | None = None
    _count: int = 0
    _was_late: bool = False
    _sizes: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @property
    def cap(self) -> int:
        cap = max(1, int(min(self._cap, self._limit)))
        return cap // 2 if cap > 3 and self._count % SMALLER_EVERY == SMALLER_EVERY - 1 else cap

    def record(self, *, size: int, latency: float) -> None:
        self._sizes.append(size)
        self._latencies.append(latency)
        late = latency >= self.budget
        if self._line is None or self._was_late or not late:
            Aimd.record(self, size=size, latency=latency)
        self._was_late = late
        self._cap = max(1.0, min(self._cap, self._limit))
        self._count += 1
        if self._count % REFIT_EVERY == 0:
            self._refit()

    @property
    def _limit(self) -> float:
        """The largest batch that line and `max_size` allow."""
        if self._line is None:
            return self.max_size
        left = self.budget - self._line.intercept
        # In this order since the slope may be 0.
        if left >= self._line.slope * self.max_size:
            return self.max_size
        return max(1.0, left / self._line.slope) if self._line.slope else 1.0

    def _refit(self) -> None:
        self._line = None
        ordered = sorted(self._sizes)
        if ordered[3] <= 0.6 * ordered[-4]:  # the sizes differ, not just those of a few batches
            line = quantile_line(self._sizes, self._latencies, quantile=0.99)
            # Where even an empty batch is predicted to be late the size isn't what makes it so.
            if line.intercept < self.budget:
                self._line = line


def quantile_line(sizes: Sequence[int], latencies: Sequence[float], *, quantile: float) -> Line:
    """Return the line, of no negative slope, with the least pinball loss over at least one batch.

    The best intercept for a slope is the quantile of what the slope leaves unexplained. With it the
    loss is convex in the slope: where more rows lie above than are expected to, it has to rise.
    """
    above = (1.0 - quantile) * len(sizes)
    expected = (1.0 - quantile) * sum(sizes)
    count = min(int(above) + 1, len(sizes))
    low, high = 0.0, max(latencies) - min(latencies)
    for _ in range(40):  # to a trillionth of the steepest slope there may be
        slope = (low + high) / 2
        left = [seconds - slope * size for size, seconds in zip(sizes, latencies, strict=True)]
        intercept = nlargest(count, left)[-1]
        higher = [size for size, over in zip(sizes, left, strict=True) if over > intercept]
        on = sizes[left.index(intercept)]
        if sum(higher) + (above - len(higher)) * on > expected:
            low = slope
        else:
            high = slope
    slope = high if low else 0.0
    left = [seconds - slope * size for size, seconds in zip(sizes, latencies, strict=True)]
    return Line(nlargest(count, left)[-1], slope)
