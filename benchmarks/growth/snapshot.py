"""The snapshot of the registry, read anew under a steady load: how long it takes, who waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from urllib.parse import urlsplit

import msgspec
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies, changing
from benchmarks.growth.changing import CHANGES, DEPLOY, NOTHING, OBJECTIVE, Stretch
from benchmarks.growth.curve import Curve, Rows
from benchmarks.growth.models import asked
from benchmarks.growth.place import MODEL, Place, Places
from benchmarks.growth.registry import grow
from benchmarks.tail.generator import Plan, driven
from benchmarks.tail.results import Load, Tail, load_of, tail_of

NAME = "snapshot"
SIZE = 200
# Of what a closed loop gets answered, which leaves room for the generator on the same cores.
SHARE = 0.3
WARM_UP_SECONDS = 1.0
CAPACITY_SECONDS = 2
# Counters of wrk begin at zero; these never meet them.
FIRST = 500_000_000
READ_AT_MOST_MS, FOLLOW_AT_MOST_MS, P99_AT_MOST_MS, LAG_AT_MOST_MS = 250.0, 10.0, 5.0, 25.0


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One registry under one kind of change. Seconds: the p99 of each round, each reading of the
    registry beside the loop, each following on it, and each lag of a timer.
    """

    size: int
    change: str
    tail: Tail
    p99: list[float]
    read: list[float]
    follow: list[float]
    lag: list[float]

    @property
    def p99_ms(self) -> float:
        return 1e3 * median(self.p99)


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    scenes: list[Scene]

    def scene(self, size: int, change: str) -> Scene:
        return next(one for one in self.scenes if (one.size, one.change) == (size, change))

    def added_ms(self, size: int, change: str) -> float:
        """What a change adds to the p99: the median of the rounds."""
        rounds = zip(self.scene(size, change).p99, self.scene(size, NOTHING).p99, strict=True)
        return 1e3 * median(changed - quiet for changed, quiet in rounds)


class Length(msgspec.Struct, frozen=True, kw_only=True):
    rounds: int
    seconds: float
    changes: tuple[str, ...]


FULL = Length(rounds=3, seconds=6.0, changes=(NOTHING, OBJECTIVE, DEPLOY))
QUICK = Length(rounds=1, seconds=4.0, changes=(NOTHING, OBJECTIVE))


def measure_it(session: Session, places: Places) -> Snapshots:
    length = QUICK if session.quick else FULL
    small, grown = places.pair()
    grow(grown, applications=SIZE, models=SIZE)
    for place in (small, grown):
        changing.prepare(place)
    rate = SHARE * small.generator.run(asked(small).load(0), seconds=CAPACITY_SECONDS).rate
    for place in (small, grown):
        _ask(place, rate=rate, seconds=2 * WARM_UP_SECONDS)
    turns = [(1, small, change) for change in length.changes]
    turns += [(SIZE, grown, change) for change in length.changes]
    seen: dict[tuple[int, str], list[tuple[Load, list[Stretch]]]] = {}
    for round in range(length.rounds):
        for size, place, change in turns if round % 2 == 0 else reversed(turns):
            found = _watch(place, change=change, rate=rate, seconds=length.seconds)
            seen.setdefault((size, change), []).append(found)
    result = Snapshots(
        rate=rate, scenes=[_scene(size, change, seen[size, change]) for size, _, change in turns]
    )
    for scene in result.scenes:
        session.say("  " + "  ".join(_row(scene)))
    return result


def _watch(place: Place, *, change: str, rate: float, seconds: float) -> tuple[Load, list[Stretch]]:
    """Ask at this rate while that changes."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="change") as threads:
        changing_it = threads.submit(CHANGES[change], place, stop)
        begin = time.monotonic() + WARM_UP_SECONDS
        try:
            load = _ask(place, rate=rate, seconds=seconds)
        finally:
            stop.set()
        changing_it.result()
    return load, changing.seen(place, begin=begin, end=time.monotonic())


def _ask(place: Place, *, rate: float, seconds: float) -> Load:
    url = urlsplit(place.url(MODEL))
    plan = Plan(
        host=url.hostname or "",
        port=url.port or 0,
        path=url.path,
        api_key=place.stack.api_key,
        bodies=str(bodies.written(place.folder / "small.txt", [bodies.body()])),
        first=FIRST + place.asked,
        rate=rate,
        seconds=seconds,
    )
    recording = driven(plan)
    place.asked += round(2 * rate * seconds)
    return load_of(recording, warm_up=WARM_UP_SECONDS)


def _scene(size: int, change: str, seen: Sequence[tuple[Load, list[Stretch]]]) -> Scene:
    stretches = [one for _, told in seen for one in told]

    def of(what: str) -> list[float]:
        return [one.seconds for one in stretches if one.what == what]

    return Scene(
        size=size,
        change=change,
        tail=tail_of([load for load, _ in seen]),
        p99=[tail_of([load]).p99 for load, _ in seen],
        read=of("read"),
        follow=of("follow"),
        lag=of("lag"),
    )


def claims(result: Snapshots) -> list[Claim]:
    grown = [one for one in result.scenes if one.size == SIZE]
    changed = result.scene(SIZE, OBJECTIVE)
    return [
        Claim(
            figure=NAME,
            what=f"reading {SIZE} applications and models beside the loop, median",
            seen=1e3 * median(changed.read),
            at_most=READ_AT_MOST_MS,
            unit=" ms",
        ),
        Claim(
            figure=NAME,
            what="following what was read, on the loop, worst",
            seen=1e3 * max(second for one in grown for second in one.follow),
            at_most=FOLLOW_AT_MOST_MS,
            unit=" ms",
        ),
        *(
            Claim(
                figure=NAME,
                what=f"p99 added when {scene.change}, {SIZE} registered",
                seen=result.added_ms(SIZE, scene.change),
                at_most=P99_AT_MOST_MS,
                unit=" ms",
            )
            for scene in grown
            if scene.change == OBJECTIVE
        ),
        Claim(
            figure=NAME,
            what=f"worst lag of the loop when an objective changes, {SIZE} registered",
            seen=1e3 * max(changed.lag, default=0.0),
            at_most=LAG_AT_MOST_MS,
            unit=" ms",
        ),
        Claim(
            figure=NAME,
            what="errors, and answers of no model",
            seen=sum(one.tail.errors + one.tail.defaults for one in result.scenes),
            at_most=0,
        ),
    ]


HEADER = (
    *("registered", "meanwhile", "p50, ms", "p99, ms", "p99.9, ms", "max, ms"),
    *("readings", "reading, ms", "following, worst, ms", "lag of the loop, worst, ms"),
)


def table(result: Snapshots) -> Rows:
    return [HEADER, *map(_row, result.scenes)]


def _row(scene: Scene) -> tuple[str, ...]:
    tail = scene.tail
    return (
        f"{scene.size}",
        scene.change,
        *(number(1e3 * seconds) for seconds in (tail.p50, median(scene.p99), tail.p999, tail.max)),
        f"{len(scene.read)}",
        number(1e3 * median(scene.read)) if scene.read else "",
        number(1e3 * max(scene.follow, default=0.0)),
        number(1e3 * max(scene.lag, default=0.0)),
    )


def draw(result: Snapshots) -> Figure:
    figure = style.styled(
        title="Reading the registry anew",
        subtitle=f"{result.rate:,.0f} queries/s to another application; readings are every 5 s "
        f"anyway, and with each change, one in {changing.CHANGE_SECONDS:g} s.",
        width=9.6,
        height=3.9,
    )
    latency, lag = style.panels(figure, rows=1, columns=2)
    for place, (size, colour) in enumerate(((1, style.PAPER), (SIZE, style.BLUE))):
        scenes = [one for one in result.scenes if one.size == size]
        rows = [row + 0.36 * place for row in range(len(scenes))]
        label = f"{size} applications and models"
        for axes, values in (
            (latency, [one.p99_ms for one in scenes]),
            (lag, [1e3 * max(one.lag, default=0.0) for one in scenes]),
        ):
            axes.barh(rows, values, height=0.34, color=colour, label=label)
            for row, value in zip(rows, values, strict=True):
                style.name_bar(axes, row, value, text=number(value))
            axes.set_yticks([row - 0.18 for row in rows], [one.change for one in scenes])
            axes.grid(False, axis="y")
    for axes, title in ((latency, "p99 of the queries, ms"), (lag, "worst lag of the loop, ms")):
        axes.set_title(title)
        axes.invert_yaxis()
        axes.set_xlim(right=1.15 * axes.get_xlim()[1])
    style.legend(figure, latency, columns=2)
    return figure


SNAPSHOT = Curve(
    name=NAME,
    title="What reading the registry anew costs the queries meanwhile",
    result=Snapshots,
    measure=measure_it,
    claims=claims,
    draw=draw,
    table=table,
)
