"""What is kept of a curve: samples by size, each with its yardstick of the same round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One load once. CPU times in µs a query: of all web processes, Redis, and all replicas.

    `reads` and `scripts` are what Redis was asked for a query, HGETALL and EVALSHA; `memory` is
    what the web processes hold, in MiB; `elsewhere` the cores that others kept busy.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    web_us: float
    redis_us: float
    replicas_us: float
    reads: float
    scripts: float
    memory: float
    errors: int
    elsewhere: float


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One size: its samples, and beside each the yardstick's of the same round."""

    size: int
    here: list[Sample]
    beside: list[Sample]

    def of(self, what: Callable[[Sample], float]) -> float:
        return median(map(what, self.here))

    @property
    def cost(self) -> float:
        """The web processes' CPU time for a query in µs."""
        return self.of(lambda one: one.web_us)

    @property
    def yardstick(self) -> float:
        return median(one.web_us for one in self.beside)

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios to the yardstick: a slow round is slow for both."""
        pairs = zip(self.here, self.beside, strict=True)
        return median(one.web_us / other.web_us for one, other in pairs)

    @property
    def grown(self) -> float:
        """What the size adds to the yardstick's cost, in µs: the median of the rounds."""
        pairs = zip(self.here, self.beside, strict=True)
        return median(one.web_us - other.web_us for one, other in pairs)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One way of asking, from the smallest size to the largest."""

    name: str
    points: list[Point]

    def at(self, size: int) -> Point:
        return next(point for point in self.points if point.size == size)

    @property
    def largest(self) -> Point:
        return self.points[-1]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """A whole curve. `defaults` are answers of no model, `facts` single numbers beside it."""

    series: list[Series]
    defaults: float
    facts: dict[str, float] = {}

    def named(self, name: str) -> Series:
        return next(one for one in self.series if one.name == name)

    @property
    def samples(self) -> list[Sample]:
        points = [point for series in self.series for point in series.points]
        return [one for point in points for one in (*point.here, *point.beside)]

    @property
    def failures(self) -> float:
        """Answers of no model, and errors."""
        return self.defaults + sum(one.errors for one in self.samples)


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Return how far y rises for one of x between the first point and the last.

    Of two ends only: a fit over all sizes would be decided by the largest ones.
    """
    (x0, y0), *_, (x1, y1) = points
    return (y1 - y0) / (x1 - x0)


def bend(points: Sequence[tuple[float, float]], *, at: float) -> float:
    """Return the slope beyond the x `at` beside that up to there: 1 on a line, more above it."""
    below = slope([point for point in points if point[0] <= at])
    beyond = slope([point for point in points if point[0] >= at])
    return beyond / below
