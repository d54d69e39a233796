"""What is kept of a curve, and what most curves are judged and shown by.

Samples are by size, each with its yardstick of the same round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from operator import attrgetter
from statistics import median

import msgspec
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks import charts
from benchmarks.tables import Rows
from benchmarks.targets import Target, at_most, number

COLOURS = (charts.BLUE, charts.ORANGE, charts.TEAL, charts.VIOLET)
HEADER = ("CPU a query, µs", "beside it, µs", "ratio", "queries/s", "p99, ms")
# What Redis was asked, and the web's memory.
REDIS = {
    "reads of Redis a query": "reads",
    "scripts": "scripts",
    "Redis CPU, µs": "redis_us",
    "web RSS, MiB": "memory",
}


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

    def of(self, what: str) -> float:
        return float(median(map(attrgetter(what), self.here)))

    @property
    def cost(self) -> float:
        """The web processes' CPU time for a query in µs."""
        return self.of("web_us")

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

    def added(self, *, unit: float = 1.0) -> list[tuple[float, float]]:
        """Sizes in this unit, and what they cost beyond the yardstick of the same round."""
        return [(point.size / unit, point.grown) for point in self.points]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """A whole curve. `defaults` are answers of no model, `facts` single numbers beside it."""

    series: list[Series]
    defaults: float
    facts: dict[str, float] = {}

    def named(self, name: str) -> Series:
        return next(one for one in self.series if one.name == name)

    @property
    def points(self) -> list[Point]:
        return [point for series in self.series for point in series.points]

    @property
    def failures(self) -> float:
        """Answers of no model, and errors."""
        errors = [one.errors for point in self.points for one in (*point.here, *point.beside)]
        return self.defaults + sum(errors)


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


# What must hold.


def no_failures(result: Growth) -> Target:
    return at_most("errors, and answers of no model", result.failures, 0)


def ratios(result: Growth, *, of: str, bounds: Mapping[str, float]) -> list[Target]:
    """The largest size of every series beside its yardstick; the bounds are by series."""
    return [
        at_most(
            f"CPU a query, {series.largest.size:,} {of} : 1, {series.name}",
            series.largest.ratio,
            bounds[series.name],
        )
        for series in result.series
    ]


# How it is shown.


def table(result: Growth, *, of: str, redis: bool = False) -> Rows:
    """A row for each point; with `redis` also what it was asked, and the web's memory."""
    more = REDIS if redis else {}
    rows: Rows = [("asked", of, *HEADER, *more)]
    for series in result.series:
        for point in series.points:
            numbers = (point.of("rate"), point.of("p99_ms"), *map(point.of, more.values()))
            costs = (number(point.cost), number(point.yardstick), f"{point.ratio:.2f}")
            rows.append((series.name, f"{point.size:,}", *costs, *map(number, numbers)))
    return rows


def draw(
    result: Growth, *, title: str, subtitle: str, of: str, bound: float | None, linear: bool
) -> Figure:
    """What a query costs, and that beside the yardstick of the same round.

    `bound` is what the ratio may be; `linear` axes where a line is to be seen.
    """
    figure = charts.styled(title=title, subtitle=subtitle, width=9.6, height=3.9)
    cost, ratio = charts.panels(figure, columns=2)
    for series, colour in zip(result.series, cycle(COLOURS), strict=False):
        for axes, what in ((cost, "cost"), (ratio, "ratio")):
            ys = [getattr(point, what) for point in series.points]
            sizes = [point.size for point in series.points]
            axes.plot(sizes, ys, "o-", color=colour, label=series.name)
    first = result.series[0].points
    cost.plot(
        [point.size for point in first], [point.yardstick for point in first],
        color=charts.PAPER, linestyle=(0, (2, 2)), label="yardstick",
    )  # fmt: skip
    cost.set_title("CPU time of the web process a query, µs")
    ratio.set_title("beside the yardstick of the same round")
    for axes in (cost, ratio):
        axes.set_xlabel(of)
        if linear:
            axes.set_xlim(left=0)
        else:
            charts.logarithmic(axes.xaxis)
            axes.xaxis.set_major_formatter(StrMethodFormatter(charts.THOUSANDS))
        axes.set_ylim(bottom=0, top=1.2 * axes.get_ylim()[1])
    if bound is not None:
        charts.limit(ratio, bound, label=f"at most {bound:g}")
        ratio.set_ylim(0, max(ratio.get_ylim()[1], 1.4 * bound))
    charts.legend(figure, cost, columns=2)
    return figure
