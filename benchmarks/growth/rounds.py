"""The measuring of all curves: pairs of a load and its yardstick, turn and turn about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.counters import Change, read_metrics
from benchmarks.experiment import Session, turns
from benchmarks.growth.results import Growth, Point, Sample, Series
from benchmarks.processes import of_replicas, read_cpu, read_memory
from benchmarks.stack import Stack
from benchmarks.wrk import WrkResult

CONNECTIONS = 64
WARM_UP_SECONDS = 1
# Web processes publish their counters once a second.
PUBLISHED_SECONDS = 1.5
READS, SCRIPTS = "cmdstat_hgetall", "cmdstat_evalsha"
# Web processes tell Redis once a second what was asked: it is done when
# that is next to nothing.
CALM_SECONDS, CALM_SCRIPTS, GIVEN_UP_SECONDS = 1.2, 100, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of which stack. `bodies` makes the questions of a round anew, where they
    are drawn by chance. Where a load `leaves_work`, what web processes do about it afterwards
    belongs to it, and not to the next one.
    """

    stack: Stack
    application: str
    bodies: Callable[[int], Path]
    connections: int = CONNECTIONS
    leaves_work: bool = False

    def run(self, number: int, *, seconds: int) -> WrkResult:
        result = self.stack.asked(
            self.application, bodies=self.bodies(number), connections=self.connections,
            seconds=seconds,
        )  # fmt: skip
        if self.leaves_work:
            _wait_for_calm(self.stack)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One point of one series: what is asked, and the yardstick beside it."""

    series: str
    size: int
    here: Asked
    beside: Asked


def always(file: Path) -> Callable[[int], Path]:
    """The same questions in every round; the counter makes them new ones."""
    return lambda number: file


def measured(groups: Iterable[Sequence[Pair]], *, session: Session) -> list[Series]:
    """Measure the pairs of each group in every round; what changes a stack comes in between."""
    found: dict[str, list[Point]] = {}
    for pairs in groups:
        points = [Point(size=pair.size, here=[], beside=[]) for pair in pairs]
        _measure(list(zip(pairs, points, strict=True)), quick=session.quick)
        for pair, point in zip(pairs, points, strict=True):
            found.setdefault(pair.series, []).append(point)
            session.say(_in_words(pair, point))
    return [Series(name=name, points=points) for name, points in found.items()]


def _measure(pairs: Sequence[tuple[Pair, Point]], *, quick: bool) -> None:
    """There and back. Neighbours of one size share a yardstick where they have the same."""
    rounds, seconds = (1, 1) if quick else (3, 2)
    for asked in dict.fromkeys(one for pair, _ in pairs for one in (pair.beside, pair.here)):
        asked.run(0, seconds=WARM_UP_SECONDS)
    known: tuple[Asked, int, int] | None = None
    for number, (pair, point) in turns(pairs, rounds=rounds):
        if known != (pair.beside, pair.size, number):
            known = pair.beside, pair.size, number
            yardstick = sample(pair.beside, number=number, seconds=seconds)
        point.beside.append(yardstick)
        point.here.append(sample(pair.here, number=number, seconds=seconds))


def _in_words(pair: Pair, point: Point) -> str:
    return (
        f"  {pair.series:28} {pair.size:>9,}: {point.cost:6.0f} µs of CPU a query "
        f"(beside it {point.yardstick:.0f}, x{point.ratio:.2f}), "
        f"{point.of('rate'):,.0f}/s, p99 {point.of('p99_ms'):.1f} ms"
    )


def sample(asked: Asked, *, number: int, seconds: int) -> Sample:
    """Ask for so long, and see what that took of each process."""
    stack = asked.stack
    calls, before = _calls(stack), read_cpu(stack.processes)
    result = asked.run(number, seconds=seconds)
    after, calls_after = read_cpu(stack.processes), _calls(stack)
    spent, answered = after.seconds_since(before), max(1, result.answered)
    return Sample(
        rate=result.rate,
        p50_ms=result.p50_us / 1e3,
        p99_ms=result.p99_us / 1e3,
        web_us=1e6 * spent["web"] / answered,
        redis_us=1e6 * spent["redis"] / answered,
        replicas_us=1e6 * of_replicas(spent) / answered,
        reads=(calls_after[READS] - calls[READS]) / answered,
        scripts=(calls_after[SCRIPTS] - calls[SCRIPTS]) / answered,
        memory=read_memory({"web": stack.processes["web"]})["web"].rss,
        errors=result.errors,
        elsewhere=after.cores_since(before)["elsewhere"],
    )


def _calls(stack: Stack) -> dict[str, int]:
    """How often Redis was asked what queries make web processes ask, since it started."""
    told = stack.redis.info("commandstats")
    return {name: told.get(name, {}).get("calls", 0) for name in (READS, SCRIPTS)}


def _wait_for_calm(stack: Stack) -> None:
    deadline = time.monotonic() + GIVEN_UP_SECONDS
    told = _calls(stack)[SCRIPTS]
    while time.monotonic() < deadline:
        time.sleep(CALM_SECONDS)
        before, told = told, _calls(stack)[SCRIPTS]
        if told - before <= CALM_SCRIPTS:
            return


def counting_defaults(
    groups: Iterator[Sequence[Pair]], *, into: list[float]
) -> Iterator[Sequence[Pair]]:
    """Hand the groups on; put into the list how many answers came from no model meanwhile."""
    for pairs in groups:
        stacks = {id(one.stack): one.stack for pair in pairs for one in (pair.here, pair.beside)}
        before = {key: read_metrics(stack.client) for key, stack in stacks.items()}
        yield pairs
        time.sleep(PUBLISHED_SECONDS)
        into += [
            Change(before=before[key], after=read_metrics(stack.client)).defaults
            for key, stack in stacks.items()
        ]


def growth(
    groups: Iterator[Sequence[Pair]], *, session: Session, facts: dict[str, float] | None = None
) -> Growth:
    """Measure a whole curve; `facts` may be filled while it is measured."""
    defaults: list[float] = []
    series = measured(counting_defaults(groups, into=defaults), session=session)
    return Growth(series=series, defaults=sum(defaults), facts=facts or {})
