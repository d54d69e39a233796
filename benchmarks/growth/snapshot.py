"""The snapshot of the registry, read anew under a steady load: how long it takes, who waits."""

import threading
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session, turns
from benchmarks.frames import Frame, Record, Records, of, queries_of, tail_of
from benchmarks.generator import Phase
from benchmarks.growth import stacks
from benchmarks.growth.curve import CONNECTIONS
from benchmarks.linear import written
from benchmarks.loads import Change, read_metrics
from benchmarks.processes import every, meanwhile
from benchmarks.stack import Stack
from benchmarks.telling import Columns, Target, number, rows_of

SIZE = 200
# Of what a closed loop gets answered, which leaves room for the generator on the same cores.
SHARE = 0.3
WARM_UP_SECONDS, CAPACITY_SECONDS, PUBLISHED_SECONDS = 1.0, 2, 1.5
# What a web process tells of itself, in seconds, by the field in which it is kept, in ms.
TOLD = {
    "read": "clipper_registry_read_seconds",
    "follow": "clipper_registry_apply_seconds",
    "lag": "clipper_web_loop_lag_seconds",
}
# An application that is not asked changes between these objectives.
CHANGED, CHANGE_SECONDS, OBJECTIVES_MS = "changed", 0.5, (400.0, 600.0)
NOTHING, OBJECTIVE, DEPLOY = "nothing changes", "an objective changes", "a model is deployed"


def _objective(stack: Stack, stop: threading.Event) -> None:
    """Change it again and again: every web process reads the registry anew each time."""
    path = f"/api/v1/applications/{CHANGED}/slo"
    for value, _ in zip(cycle(OBJECTIVES_MS), every(CHANGE_SECONDS, stop=stop)):
        stack.client.patch(path, json={"latency_ms": value}).raise_for_status()


def _deploy(stack: Stack, stop: threading.Event) -> None:
    """Upload and deploy one version after the other."""
    for _ in every(CHANGE_SECONDS, stop=stop):
        version = f"at-{time.time_ns()}"
        stack.upload(CHANGED, version=version, **stacks.CHEAP)
        stack.deploy(CHANGED, version=version)


CHANGES: dict[str, Callable[[Stack, threading.Event], None]] = {
    NOTHING: lambda stack, stop: None, OBJECTIVE: _objective, DEPLOY: _deploy
}  # fmt: skip


def measure(session: Session) -> Records:
    rounds, seconds = 1 if session.quick else 3, 4.0
    changes = (NOTHING, OBJECTIVE) if session.quick else (NOTHING, OBJECTIVE, DEPLOY)
    small, grown = stacks.pair(session)
    stacks.grow(grown, applications=SIZE, models=SIZE)
    file = written(session.folder / "small.txt", [stacks.question()])
    load = small.load(stacks.MODEL, bodies=file, connections=CONNECTIONS)
    phases = [Phase(SHARE * small.wrk.run(load, seconds=CAPACITY_SECONDS).rate, seconds)]
    for stack in (small, grown):
        # What changes; nobody asks it.
        stacks.publish(stack, CHANGED)
        stacks.route(stack, CHANGED)
        stack.open_loop.run(stack.url_of(stacks.MODEL), bodies=file, phases=phases)

    def watched(stack: Stack, change: str) -> Record:
        """Ask at this rate while that changes."""
        before = read_metrics(stack.client)
        with meanwhile(lambda stop: CHANGES[change](stack, stop)):
            recording = stack.open_loop.run(stack.url_of(stacks.MODEL), bodies=file, phases=phases)
        time.sleep(PUBLISHED_SECONDS)
        seen = Change(before=before, after=read_metrics(stack.client))
        told = {field: [1e3 * s for s in seen.observed(name)] for field, name in TOLD.items()}
        return tail_of(queries_of(recording, warm_up=WARM_UP_SECONDS)) | told

    points = [(size, s, change) for size, s in ((1, small), (SIZE, grown)) for change in changes]
    found = []
    for turn, (size, stack, change) in turns(points, rounds=rounds):
        scene = {"size": size, "change": change, "round": turn, "rate": phases[0].rate}
        found.append(scene | watched(stack, change))
        session.say(f"  {size:3} registered, {change}: p99 {found[-1]['p99_ms']:.1f} ms")
    return sorted(found, key=lambda one: (one["size"], changes.index(one["change"])))


def told(result: Frame, what: str, **of_which: Any) -> Any:
    """Everything that web processes told of that, in ms."""
    return of(result, **of_which)[what].explode().dropna().astype(float)


def targets(result: Frame) -> list[Target]:
    changed = {"size": SIZE, "change": OBJECTIVE}
    registered = f"when {OBJECTIVE}, {SIZE} registered"
    read, lag = told(result, "read", **changed).median(), told(result, "lag", **changed).max()
    failures = result["errors"].sum() + result["default_count"].sum()
    follow = told(result, "follow", size=SIZE).max()
    # What a change adds to the p99: the median of the rounds.
    p99 = result.set_index("round").groupby(["size", "change"])["p99_ms"]
    added = (p99.get_group((SIZE, OBJECTIVE)) - p99.get_group((SIZE, NOTHING))).median()
    reading = f"reading {SIZE} applications and models beside the loop, median"
    return [
        Target(reading, read, "≤ 250 ms"),
        Target("following what was read, on the loop, worst", follow, "≤ 10 ms"),
        Target(f"p99 added {registered}", added, "≤ 5 ms"),
        Target(f"worst lag of the loop {registered}", lag, "≤ 25 ms"),
        Target("errors, and answers of no model", failures, "≤ 0"),
    ]


COLUMNS: Columns = {
    "registered": ("size", str), "meanwhile": ("change", str), "p50, ms": ("p50_ms", number),
    "p99, ms": ("p99_ms", number), "p99.9, ms": ("p999_ms", number), "max, ms": ("max_ms", number),
    "readings": ("readings", number), "reading, ms": ("read", number),
    "following, worst, ms": ("follow", number), "lag of the loop, worst, ms": ("lag", number),
}  # fmt: skip


def summed_up(result: Frame) -> Frame:
    """A row for each scene: medians of the rounds, and the worst of what was told."""
    rows = []
    for (size, change), seen in result.groupby(["size", "change"], sort=False):
        row = seen[["p50_ms", "p99_ms", "p999_ms", "max_ms"]].median().to_dict()
        read, follow, lag = (told(seen, what) for what in TOLD)
        row |= {"readings": len(read), "read": read.median(), "follow": follow.max()}
        title = f"{size} registered, {change}"
        rows.append({"size": size, "change": change, "title": title, "lag": lag.max()} | row)
    return Frame(rows)


def _panel(what: str, title: str) -> Panel:
    values = lambda result: summed_up(result).set_index("title")[[what]]  # noqa: E731
    return Panel(title=title, of=values, across=True)


SNAPSHOT = Experiment(
    name="snapshot",
    title="What reading the registry anew costs the queries meanwhile",
    workload=f"an open loop at {SHARE:.0%} of what a closed one gets answered",
    systems=("a small stack", f"one with {SIZE} applications and models"),
    measure=measure,
    targets=targets,
    panels=(
        _panel("p99_ms", "p99 of the queries, ms"),
        _panel("lag", "worst lag of the loop, ms"),
    ),
    table=lambda result: rows_of(summed_up(result), COLUMNS),
)
