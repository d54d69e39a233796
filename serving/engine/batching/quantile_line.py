"""The straight line that a given share of batches lies under: exact quantile regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace, nlargest
from operator import neg

# Eight are usual. Where these aren't enough the best line so far is all but the best there is.
MOST_STEPS = 40
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Line:
    intercept: float
    slope: float


def quantile_line(sizes: Sequence[int], latencies: Sequence[float], *, quantile: float) -> Line:
    """The line, of no negative slope, with the least pinball loss over at least one batch.

    With the best intercept for it, the loss is convex and piecewise linear in the slope. So
    between a slope that is too small and one that is too large it is nowhere below the point where
    their tangents meet, and the loss that is no higher than that point is the least.
    """
    batches = _Batches(sizes, latencies, quantile=quantile)
    low = batches.tangent(0.0)
    if low.gradient >= 0.0:
        return low.line
    # Steeper than between any two batches, whose sizes differ by a row or more.
    steepest = max(latencies) - min(latencies)
    high = batches.tangent(steepest)
    for _ in range(MOST_STEPS):
        if high.gradient <= 0.0:
            return high.line
        slope = low.meets(high)
        bound = low.loss + low.gradient * (slope - low.line.slope)
        found = batches.tangent(slope)
        if found.loss <= bound + ROUNDING * (abs(bound) + steepest):
            return found.line
        if found.gradient < 0.0:
            low = found
        else:
            high = found
    return min(low, high, key=lambda tangent: tangent.loss).line


@dataclass(frozen=True, slots=True)
class _Tangent:
    """The loss of the best line of one slope, and a subgradient of that loss in the slope."""

    line: Line
    loss: float
    gradient: float

    def meets(self, other: _Tangent) -> float:
        """The slope at which the two tangents meet."""
        ahead = other.line.slope - self.line.slope
        rise = other.loss - self.loss
        bend = other.gradient - self.gradient
        return self.line.slope + (other.gradient * ahead - rise) / bend


class _Batches:
    """What the loss of a line depends on: sums over all batches, and those that may lie above."""

    def __init__(
        self, sizes: Sequence[int], latencies: Sequence[float], *, quantile: float
    ) -> None:
        self._share_above = 1.0 - quantile
        self._expected_above = self._share_above * len(sizes)
        self._rank = min(int(self._expected_above) + 1, len(sizes))
        self._rows = sum(sizes)
        self._seconds = sum(latencies)
        self._high = self._highest(sizes, latencies)

    def _highest(self, sizes: Sequence[int], latencies: Sequence[float]) -> list[tuple[int, float]]:
        """Leave out what has enough slower batches of no larger size: no line passes through it.

        That is most of them, which makes each step that much cheaper.
        """
        kept: list[tuple[int, float]] = []
        slowest: list[float] = []
        # The slower of two batches of a size comes first.
        for size, negative in sorted(zip(sizes, map(neg, latencies), strict=True)):
            latency = -negative
            if len(slowest) < self._rank:
                heappush(slowest, latency)
            elif latency > slowest[0]:
                heapreplace(slowest, latency)
            else:
                continue
            kept.append((size, latency))
        return kept

    def tangent(self, slope: float) -> _Tangent:
        """The best intercept for a slope is the quantile of what the slope leaves unexplained."""
        left = [latency - slope * size for size, latency in self._high]
        highest = nlargest(self._rank, left)
        intercept = highest[-1]
        above = [size for (size, _), high in zip(self._high, left, strict=True) if high > intercept]
        on = [size for (size, _), high in zip(self._high, left, strict=True) if high == intercept]
        # Those on the line make up what those above lack of the number expected above.
        lacking = self._expected_above - len(above)
        gradient = self._share_above * self._rows - sum(above) - lacking * sum(on) / len(on)
        mean_loss = self._expected_above * intercept - self._share_above * (
            self._seconds - slope * self._rows
        )
        return _Tangent(
            Line(intercept, slope), mean_loss + sum(highest) - self._rank * intercept, gradient
        )
