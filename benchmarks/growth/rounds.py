"""The measuring that most curves share: pairs of a load and its yardstick, turn and turn about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.counters import APPLICATION, Change, Samples, read_metrics
from benchmarks.figures.experiment import Say, Session
from benchmarks.growth.place import Place
from benchmarks.growth.results import Growth, Point, Sample, Series
from benchmarks.load import Load, WrkResult
from benchmarks.processes import REPLICA, CpuReading, read_cpu, read_memory

CONNECTIONS = 64
WARM_UP_SECONDS = 1
# Web processes publish their counters once a second.
PUBLISHED_SECONDS = 1.5
READS, SCRIPTS = "cmdstat_hgetall", "cmdstat_evalsha"
# Web processes tell Redis once a second what was asked: it is done when
# that is next to nothing.
CALM_SECONDS, CALM_SCRIPTS, GIVEN_UP_SECONDS = 1.2, 100, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    rounds: int
    seconds: int


FULL, QUICK = Length(rounds=3, seconds=2), Length(rounds=1, seconds=1)


def length_of(session: Session) -> Length:
    return QUICK if session.quick else FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of which stack. `bodies` makes the questions of a round anew, where they
    are drawn by chance. Where a load `leaves_work`, what web processes do about it afterwards
    belongs to it, and not to the next one.
    """

    place: Place
    application: str
    bodies: Callable[[int], Path]
    connections: int = CONNECTIONS
    leaves_work: bool = False

    def load(self, number: int) -> Load:
        return Load(
            url=self.place.url(self.application),
            bodies=self.bodies(number),
            unique=True,
            connections=self.connections,
        )


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


def measure(pairs: Sequence[Pair], *, length: Length, say: Say) -> list[Series]:
    """Measure every pair in every round, there and back. Neighbours of one size share a yardstick
    where they have the same.
    """
    for asked in dict.fromkeys(one for pair in pairs for one in (pair.beside, pair.here)):
        _run(asked, number=0, seconds=WARM_UP_SECONDS)
    found: dict[tuple[str, int], Point] = {
        (pair.series, pair.size): Point(size=pair.size, here=[], beside=[]) for pair in pairs
    }
    for number in range(1, length.rounds + 1):
        known: tuple[Asked, int] | None = None
        for pair in pairs if number % 2 else reversed(pairs):
            if known != (pair.beside, pair.size):
                known = pair.beside, pair.size
                yardstick = sample(pair.beside, number=number, seconds=length.seconds)
            point = found[pair.series, pair.size]
            point.beside.append(yardstick)
            point.here.append(sample(pair.here, number=number, seconds=length.seconds))
    for pair in pairs:
        _tell(found[pair.series, pair.size], pair=pair, say=say)
    names = dict.fromkeys(pair.series for pair in pairs)
    return [
        Series(name=name, points=[point for key, point in found.items() if key[0] == name])
        for name in names
    ]


def joined(*parts: Sequence[Series]) -> list[Series]:
    """Put together what was measured size by size."""
    every = [series for part in parts for series in part]
    return [
        Series(name=name, points=[p for one in every if one.name == name for p in one.points])
        for name in dict.fromkeys(series.name for series in every)
    ]


def _tell(point: Point, *, pair: Pair, say: Say) -> None:
    say(
        f"  {pair.series:28} {pair.size:>9,}: {point.cost:6.0f} µs of CPU a query "
        f"(beside it {point.yardstick:.0f}, x{point.ratio:.2f}), "
        f"{point.of(lambda one: one.rate):,.0f}/s, p99 {point.of(lambda one: one.p99_ms):.1f} ms"
    )


def sample(asked: Asked, *, number: int, seconds: int) -> Sample:
    """Ask for so long, and see what that took of each process."""
    place = asked.place
    calls, before = _calls(place), read_cpu(place.processes)
    result = _run(asked, number=number, seconds=seconds)
    after, calls_after = read_cpu(place.processes), _calls(place)
    return _sample(
        result,
        before=before,
        after=after,
        asked_redis={name: calls_after[name] - count for name, count in calls.items()},
        memory=read_memory({"web": place.processes["web"]})["web"].rss,
    )


def _sample(
    result: WrkResult,
    *,
    before: CpuReading,
    after: CpuReading,
    asked_redis: dict[str, int],
    memory: float,
) -> Sample:
    roles = {role: total - before.roles.get(role, total) for role, total in after.roles.items()}
    replicas = sum(spent for role, spent in roles.items() if role.startswith(REPLICA))
    each = 1e6 / max(1, result.answered)
    return Sample(
        rate=result.rate,
        p50_ms=result.p50_us / 1e3,
        p99_ms=result.p99_us / 1e3,
        web_us=roles["web"] * each,
        redis_us=roles["redis"] * each,
        replicas_us=replicas * each,
        reads=asked_redis[READS] / max(1, result.answered),
        scripts=asked_redis[SCRIPTS] / max(1, result.answered),
        memory=memory,
        errors=result.errors,
        elsewhere=after.cores_since(before)["elsewhere"],
    )


def _calls(place: Place) -> dict[str, int]:
    """How often Redis was asked what queries make web processes ask, since it started."""
    told = place.redis.info("commandstats")
    return {name: told.get(name, {}).get("calls", 0) for name in (READS, SCRIPTS)}


def _run(asked: Asked, *, number: int, seconds: int) -> WrkResult:
    result = asked.place.generator.run(asked.load(number), seconds=seconds)
    if asked.leaves_work:
        _wait_for_calm(asked.place)
    return result


def _wait_for_calm(place: Place) -> None:
    deadline = time.monotonic() + GIVEN_UP_SECONDS
    told = _calls(place)[SCRIPTS]
    while time.monotonic() < deadline:
        time.sleep(CALM_SECONDS)
        before, told = told, _calls(place)[SCRIPTS]
        if told - before <= CALM_SCRIPTS:
            return


@contextmanager
def counting_defaults(*places: Place) -> Iterator[list[float]]:
    """Leave in the list how many answers came from no model meanwhile."""
    found: list[float] = []
    before = [read_metrics(place.client) for place in places]
    yield found
    time.sleep(PUBLISHED_SECONDS)
    found += [_defaults(place, before=then) for place, then in zip(places, before, strict=True)]


def _defaults(place: Place, *, before: Samples) -> float:
    change = Change(before=before, after=read_metrics(place.client))
    return change.total(f"{APPLICATION}defaults_total")


def growth(
    series: Sequence[Series], *, defaults: Sequence[float], facts: dict[str, float] | None = None
) -> Growth:
    return Growth(series=list(series), defaults=sum(defaults), facts=facts or {})
