"""The snapshot of the registry, read anew under a steady load: how long it takes, who waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import msgspec
from matplotlib.figure import Figure

from benchmarks import charts
from benchmarks.counters import Change, read_metrics
from benchmarks.experiment import Experiment, Session, turns
from benchmarks.generator import Phase
from benchmarks.growth import bodies, registry_changes, stacks
from benchmarks.growth.registry_changes import CHANGES, DEPLOY, NOTHING, OBJECTIVE
from benchmarks.growth.rounds import CONNECTIONS, PUBLISHED_SECONDS
from benchmarks.latencies import Load, Tail, load_of, tail_of
from benchmarks.pace import meanwhile
from benchmarks.stack import Stack
from benchmarks.tables import Rows
from benchmarks.targets import Target, at_most, number

SIZE = 200
# Of what a closed loop gets answered, which leaves room for the generator on the same cores.
SHARE = 0.3
WARM_UP_SECONDS, CAPACITY_SECONDS = 1.0, 2
READ_AT_MOST_MS, FOLLOW_AT_MOST_MS, P99_AT_MOST_MS, LAG_AT_MOST_MS = 250.0, 10.0, 5.0, 25.0
# What a web process tells of itself, by the fields of a scene.
TOLD = {
    "read": "clipper_registry_read_seconds",
    "follow": "clipper_registry_apply_seconds",
    "lag": "clipper_web_loop_lag_seconds",
}
HEADER = (
    *("registered", "meanwhile", "p50, ms", "p99, ms", "p99.9, ms", "max, ms"),
    *("readings", "reading, ms", "following, worst, ms", "lag of the loop, worst, ms"),
)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One registry under one kind of change. Seconds: the p99 of each round, each reading of the
    registry beside the loop, each following on it, and each lag of a timer; the last three rounded
    up by at most a quarter, as the web process counts them.
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

    @property
    def lag_ms(self) -> float:
        """The worst."""
        return 1e3 * max(self.lag, default=0.0)


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    scenes: list[Scene]

    def scene(self, size: int, change: str) -> Scene:
        return next(one for one in self.scenes if (one.size, one.change) == (size, change))

    def added_ms(self, size: int, change: str) -> float:
        """What a change adds to the p99: the median of the rounds."""
        rounds = zip(self.scene(size, change).p99, self.scene(size, NOTHING).p99, strict=True)
        return 1e3 * median(changed - quiet for changed, quiet in rounds)


Seen = tuple[Load, Change]


def measure(session: Session) -> Snapshots:
    rounds, seconds = (1, 4.0) if session.quick else (3, 6.0)
    changes = (NOTHING, OBJECTIVE) if session.quick else (NOTHING, OBJECTIVE, DEPLOY)
    small, grown = stacks.pair(session)
    stacks.grow(grown, applications=SIZE, models=SIZE)
    file = bodies.written(session.folder / "small.txt", [bodies.body()])
    capacity = small.asked(
        stacks.MODEL, bodies=file, connections=CONNECTIONS, seconds=CAPACITY_SECONDS
    )
    phases = [Phase(rate=SHARE * capacity.rate, seconds=seconds)]
    for stack in (small, grown):
        registry_changes.prepare(stack)
        stack.open_loop.run(stack.url_of(stacks.MODEL), bodies=file, phases=phases)

    def watched(stack: Stack, change: str) -> Seen:
        """Ask at this rate while that changes."""
        before = read_metrics(stack.client)
        with meanwhile(lambda stop: CHANGES[change](stack, stop)):
            recording = stack.open_loop.run(stack.url_of(stacks.MODEL), bodies=file, phases=phases)
        time.sleep(PUBLISHED_SECONDS)
        change_seen = Change(before=before, after=read_metrics(stack.client))
        return load_of(recording, warm_up=WARM_UP_SECONDS), change_seen

    points = [(size, s, change) for size, s in ((1, small), (SIZE, grown)) for change in changes]
    seen: dict[tuple[int, str], list[Seen]] = {(size, change): [] for size, _, change in points}
    for _, (size, stack, change) in turns(points, rounds=rounds):
        seen[size, change].append(watched(stack, change))
    scenes = [_scene(size, change, found) for (size, change), found in seen.items()]
    return Snapshots(rate=phases[0].rate, scenes=scenes)


def _scene(size: int, change: str, seen: Sequence[Seen]) -> Scene:
    told = {
        field: [second for _, counted in seen for second in counted.observed(name)]
        for field, name in TOLD.items()
    }
    loads = [load for load, _ in seen]
    return Scene(
        size=size,
        change=change,
        tail=tail_of(loads),
        p99=[tail_of([load]).p99 for load in loads],
        **told,
    )


def targets(result: Snapshots) -> list[Target]:
    changed = result.scene(SIZE, OBJECTIVE)
    follow = [second for one in result.scenes if one.size == SIZE for second in one.follow]
    failures = sum(one.tail.errors + one.tail.defaults for one in result.scenes)
    return [
        at_most(
            f"reading {SIZE} applications and models beside the loop, median",
            1e3 * median(changed.read),
            READ_AT_MOST_MS,
            unit=" ms",
        ),
        at_most(
            "following what was read, on the loop, worst",
            1e3 * max(follow),
            FOLLOW_AT_MOST_MS,
            unit=" ms",
        ),
        at_most(
            f"p99 added when {OBJECTIVE}, {SIZE} registered",
            result.added_ms(SIZE, OBJECTIVE),
            P99_AT_MOST_MS,
            unit=" ms",
        ),
        at_most(
            f"worst lag of the loop when {OBJECTIVE}, {SIZE} registered",
            changed.lag_ms,
            LAG_AT_MOST_MS,
            unit=" ms",
        ),
        at_most("errors, and answers of no model", failures, 0),
    ]


def table(result: Snapshots) -> Rows:
    rows: Rows = [HEADER]
    for scene in result.scenes:
        tail = scene.tail
        seconds = (tail.p50, median(scene.p99), tail.p999, tail.max)
        rows.append(
            (
                f"{scene.size}",
                scene.change,
                *(number(1e3 * each) for each in seconds),
                f"{len(scene.read)}",
                number(1e3 * median(scene.read)) if scene.read else "",
                number(1e3 * max(scene.follow, default=0.0)),
                number(scene.lag_ms),
            )
        )
    return rows


def draw(result: Snapshots) -> Figure:
    figure = charts.styled(
        title="Reading the registry anew",
        subtitle=f"{result.rate:,.0f} queries/s to another application; readings are every 5 s "
        f"anyway, and with each change, one in {registry_changes.CHANGE_SECONDS:g} s.",
        width=9.6,
        height=3.9,
    )
    names = [f"{one.size} registered, {one.change}" for one in result.scenes]
    colours = [charts.PAPER if one.size == 1 else charts.BLUE for one in result.scenes]
    for axes, title, values in zip(
        charts.panels(figure, columns=2, sharey=True),
        ("p99 of the queries, ms", "worst lag of the loop, ms"),
        ([one.p99_ms for one in result.scenes], [one.lag_ms for one in result.scenes]),
        strict=True,
    ):
        charts.rows(axes, names, values, colours=colours, texts=[*map(number, values)])
        axes.set(title=title, xlim=(0, 1.2 * max(values)))
    return figure


SNAPSHOT = Experiment(
    name="snapshot",
    title="What reading the registry anew costs the queries meanwhile",
    workload=f"an open loop at {SHARE:.0%} of what a closed one gets answered",
    systems=("a small stack", f"one with {SIZE} applications and models"),
    result=Snapshots,
    measure=measure,
    targets=targets,
    draw=draw,
    table=table,
)
