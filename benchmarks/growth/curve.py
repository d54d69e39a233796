"""Parts of every curve: pairs of a load and its yardstick, their ratios, a table and a chart."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session, turns
from benchmarks.frames import Frame, Record, Records, pivot
from benchmarks.loads import DEFAULTS, Change, read_metrics, sampled
from benchmarks.processes import read_memory
from benchmarks.stack import Stack
from benchmarks.telling import Columns, Rows, Target, number, rows_of

CONNECTIONS = 64
SECONDS, ROUNDS, QUICK_ROUNDS = 1, 3, 1
READS, SCRIPTS = "cmdstat_hgetall", "cmdstat_evalsha"
# Web processes tell Redis once a second what was asked: it is done when that is next to nothing.
COUNTS = "cmdstat_hincrby"
CALM_SECONDS, CALM_COUNTS, GIVEN_UP_SECONDS = 1.2, 100, 20.0
# What was answered last is in `/metrics` then.
COUNTED_SECONDS = 1.2
COLUMNS: Columns = {
    "CPU a query, µs": ("us", number),
    "beside it, µs": ("beside_us", number),
    "ratio": ("ratio", "{:.2f}"),
    "queries/s": ("rate", number),
    "p99, ms": ("p99_ms", number),
}
# What Redis was asked, and the web's memory.
REDIS: Columns = {
    "reads of Redis a query": ("reads", number),
    "scripts": ("scripts", number),
    "Redis CPU, µs": ("redis_us", number),
    "web RSS, MiB": ("memory", number),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A load of a stack; if it `leaves_work`, what web processes do afterwards belongs to it."""

    stack: Stack
    application: str
    bodies: Callable[[int], Path]
    connections: int = CONNECTIONS
    leaves_work: bool = False

    def sample(self, number: int) -> Record:
        """Ask for a while, and see what that took: `us` of CPU of all web processes for a query,
        and what Redis was asked for it.
        """
        stack, calls = self.stack, _calls(self.stack)
        load = stack.load(
            self.application, bodies=self.bodies(number), connections=self.connections
        )
        settle = (lambda: _wait_for_calm(stack)) if self.leaves_work else lambda: None
        seen = sampled(
            load, wrk=stack.wrk, seconds=SECONDS, processes=stack.processes, server="predict",
            settle=settle,
        )  # fmt: skip
        asked, answered = _calls(stack), max(1, seen["answered"])
        return seen | {
            "us": seen["server_us"],
            "reads": (asked[READS] - calls[READS]) / answered,
            "scripts": (asked[SCRIPTS] - calls[SCRIPTS]) / answered,
            "memory": read_memory({"web": stack.processes["predict"]})["rss"],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One point of one series: what is asked, and the yardstick beside it."""

    series: str
    size: int
    here: Asked
    beside: Asked


# The pairs that are measured in the same rounds; what changes a stack comes in between.
Groups = Iterator[Sequence[Pair]]


def measured(groups: Groups, *, session: Session) -> Records:
    """Measure the pairs of each group, there and back in every round.

    Each load is a record with the cost of its yardstick in the same round (`beside_us`).
    """
    found: Records = []
    for pairs in groups:
        everyone = dict.fromkeys(one for pair in pairs for one in (pair.beside, pair.here))
        for asked in everyone:
            asked.sample(0)
        defaults = _defaults(everyone)
        known: tuple[Asked, int, int] | None = None
        for turn, pair in turns(pairs, rounds=QUICK_ROUNDS if session.quick else ROUNDS):
            if known != (pair.beside, pair.size, turn):
                known = pair.beside, pair.size, turn
                beside = pair.beside.sample(turn)
            here = pair.here.sample(turn)
            point = {"series": pair.series, "size": pair.size, "round": turn}
            failures = here["errors"] + beside["errors"]
            found.append(here | point | {"beside_us": beside["us"], "failures": failures})
            session.say(
                f"  {pair.series:28} {pair.size:>9,}: {here['us']:6.0f} µs of CPU a query "
                f"(beside it {beside['us']:.0f}), {here['rate']:,.0f}/s"
            )
        found.append({"failures": _defaults(everyone) - defaults})
    return found


def _defaults(everyone: Iterable[Asked]) -> float:
    """Return the number of answers of no model that these stacks have counted."""
    time.sleep(COUNTED_SECONDS)
    stacks = {asked.stack for asked in everyone}
    return sum(Change({}, read_metrics(stack.client)).total(DEFAULTS) for stack in stacks)


def _calls(stack: Stack) -> dict[str, int]:
    """Return Redis's counts, since it started, of the calls that queries cause in web processes."""
    told = stack.redis.info("commandstats")
    return {name: told.get(name, {}).get("calls", 0) for name in (READS, SCRIPTS, COUNTS)}


def _wait_for_calm(stack: Stack) -> None:
    deadline = time.monotonic() + GIVEN_UP_SECONDS
    told = _calls(stack)[COUNTS]
    while time.monotonic() < deadline:
        time.sleep(CALM_SECONDS)
        before, told = told, _calls(stack)[COUNTS]
        if told - before <= CALM_COUNTS:
            return


def points(result: Frame) -> Frame:
    """A row for each series and size: medians of the rounds. So are the `ratio` to the yardstick
    and what a size has `grown` beyond it: a slow round is slow for both.
    """
    seen = result.dropna(subset=["us"])
    seen = seen.assign(ratio=seen["us"] / seen["beside_us"], grown=seen["us"] - seen["beside_us"])
    return seen.groupby(["series", "size"], sort=False).median(numeric_only=True).reset_index()


def by_size(result: Frame, what: str) -> Frame:
    """A row for each size, a column for each series."""
    return pivot(points(result), rows="size", columns="series", values=what)


def added(result: Frame, series: str, *, unit: float = 1.0) -> list[tuple[float, float]]:
    """Sizes in this unit, and what they cost in µs beyond the yardstick of the same round."""
    return [(size / unit, cost) for size, cost in by_size(result, "grown")[series].items()]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return how far y rises for one of x between the first point and the last. Of two ends only: a
    fit over all sizes would be decided by the largest ones.
    """
    (x0, y0), *_, (x1, y1) = points
    return (y1 - y0) / (x1 - x0)


def bend(points: Sequence[tuple[float, float]], *, at: float) -> float:
    """Return the slope beyond the x `at` beside that up to there: 1 on a line, more above it."""
    below = slope([point for point in points if point[0] <= at])
    return slope([point for point in points if point[0] >= at]) / below


class Curve(NamedTuple):
    """The growth of a query's cost with something: `groups` makes the stacks larger.

    `bounds` limit the ratio of each series' largest size; `of` is the plural of its name.
    """

    name: str
    heading: str
    workload: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    groups: Callable[[Session, Sequence[int]], Groups]
    bounds: Mapping[str, float] = {}
    targets: Callable[[Frame], list[Target]] = lambda result: []
    facts: Callable[[Session], Record] | None = None
    of: str = ""
    linear: bool = False
    redis: bool = False

    @property
    def experiment(self) -> Experiment:
        return Experiment(
            name=self.name,
            title=f"How the cost of a query grows with {self.heading[0].lower()}{self.heading[1:]}",
            workload=self.workload,
            systems=("where it grows", "its yardstick"),
            measure=self._measure,
            targets=self._targets,
            panels=(
                self._panel("us", title="CPU time of the predict process a query, µs"),
                self._panel("ratio", title="beside the yardstick of the same round"),
            ),
            table=self._table,
        )

    def _measure(self, session: Session) -> Records:
        facts = [self.facts(session)] if self.facts else []
        sizes = self.quick if session.quick else self.sizes
        return [*measured(self.groups(session, sizes), session=session), *facts]

    def _targets(self, result: Frame) -> list[Target]:
        what = f"CPU a query, {int(result['size'].max()):,} {self.of or self.name} : 1"
        largest = by_size(result, "ratio").iloc[-1]
        return [
            *(
                Target(f"{what}, {series}", largest[series], f"≤ {bound:g}")
                for series, bound in self.bounds.items()
                if series in largest
            ),
            *self.targets(result),
            Target("errors, and answers of no model", result["failures"].sum(), "≤ 0"),
        ]

    def _table(self, result: Frame) -> Rows:
        first: Columns = {"asked": ("series", str), self.of or self.name: ("size", "{:,.0f}")}
        return rows_of(points(result), {**first, **COLUMNS, **(REDIS if self.redis else {})})

    def _panel(self, what: str, *, title: str) -> Panel:
        bounds = tuple(self.bounds.values())
        return Panel(
            title=title, x=self.of or self.name, log="" if self.linear else "x",
            of=lambda result: by_size(result, what), limits=bounds if what == "ratio" else (),
            more=lambda axes, result: axes.set_ylim(bottom=0),
        )  # fmt: skip
