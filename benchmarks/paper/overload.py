"""More than can be done: three times what a model takes, and 1,500 connections at once."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import charts
from benchmarks.counters import Change, published_metrics, read_metrics
from benchmarks.experiment import Experiment, Session
from benchmarks.generator import Phase, Query
from benchmarks.linear import small_bodies
from benchmarks.pace import read_often
from benchmarks.paper.models import SleepingModel, Zoo
from benchmarks.processes import MIB, busiest
from benchmarks.quantiles import P99, percentile
from benchmarks.stack import Stack, running_stack
from benchmarks.targets import Target, at_least, at_most, number
from benchmarks.wrk import COUNTER

# The bottleneck is the model: 250 queries/s, and 25 of them fit into the objective.
SLOW = SleepingModel(fixed=0.0, row=0.004)
SLOW_SLO = 0.100
FACTOR, CALM = 3.0, 0.4
# The bottleneck is the web process; its objective is long enough for a queue of all connections.
FAST = SleepingModel(fixed=0.0, row=0.0)
FAST_SLO = 2.0
FEW, MANY = 64, 1500
CLOSED_CONNECTIONS = 8
MEMORY_SECONDS = 0.5
# Until then caches and buffers of the web process may still grow to what the load needs.
SETTLED_SECONDS = 3.0
# How finely the charts show time, in seconds.
STEP = 0.5


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each part."""

    capacity: int
    calm: float
    overload: float
    after: float
    connections: int


FULL = Length(capacity=5, calm=4.0, overload=30.0, after=8.0, connections=6)
QUICK = Length(capacity=2, calm=1.0, overload=7.0, after=2.0, connections=2)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The web process's resident memory, so many seconds after the first query was due."""

    at: float
    mib: float


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """Queries over one model, calm, then far too many, then calm again; `begin` to `end`."""

    capacity: float
    objective: float
    begin: float
    end: float
    samples: list[Query]
    memory: list[Reading]


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """So many connections at once: answers a second by a model and in all, latencies in seconds.

    `next_seconds` is what the first query afterwards took; it was answered by the model or not.
    """

    connections: int
    rate: float
    all_rate: float
    p50: float
    p99: float
    errors: int
    next_seconds: float
    next_by_model: bool


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    flood: Flood
    crowds: list[Crowd]


def measure(session: Session) -> Overload:
    length = QUICK if session.quick else FULL
    with running_stack(say=session.say) as stack:
        bench = _Bench(stack, session=session)
        flood = bench.flood(length)
        crowds = [bench.crowd(connections, length=length) for connections in (FEW, MANY)]
    return Overload(flood=flood, crowds=crowds)


class _Bench:
    """A stack with the two models, and those who ask it."""

    def __init__(self, stack: Stack, *, session: Session) -> None:
        self._stack = stack
        self._say = session.say
        self._bodies = small_bodies(stack.folder / "bodies.txt")
        self._body = self._bodies.read_bytes().splitlines()[0]
        for name, model, objective in (("slow", SLOW, SLOW_SLO), ("fast", FAST, FAST_SLO)):
            artifact = Zoo.of(session).sleeping(name, model=model)
            content, kind = artifact.file.read_bytes(), artifact.runtime
            stack.publish(name, artifact=content, runtime=kind, file=artifact.file.name)
            stack.route(name, name, slo_ms=objective * 1e3, body=self._body)
        self._web = busiest(stack.processes["web"])

    def flood(self, length: Length) -> Flood:
        """A model that is the bottleneck."""
        closed = self._stack.asked(
            "slow", bodies=self._bodies, connections=CLOSED_CONNECTIONS, seconds=length.capacity
        )
        capacity = closed.rate
        self._say(f"  Capacity of the slow model: {capacity:,.0f} queries/s")
        self._say(f"  Offering {FACTOR:g} times as much for {length.overload:g} s ...")
        phases = [
            Phase(rate=CALM * capacity, seconds=length.calm),
            Phase(rate=FACTOR * capacity, seconds=length.overload),
            Phase(rate=CALM * capacity, seconds=length.after),
        ]
        bodies = self._stack.folder / "numbers.txt"
        bodies.write_text(f'{{"input":[{COUNTER},1.0,2.0,3.0]}}\n')
        with read_often(self._reading, seconds=MEMORY_SECONDS) as memory:
            url = self._stack.url_of("slow")
            recording = self._stack.open_loop.run(url, bodies=bodies, phases=phases)
        return Flood(
            capacity=capacity,
            objective=SLOW_SLO,
            begin=length.calm,
            end=length.calm + length.overload,
            samples=recording.queries,
            memory=[Reading(at=at - recording.zero, mib=mib) for at, mib in memory],
        )

    def _reading(self) -> tuple[float, float]:
        return time.monotonic(), self._web.memory_info().rss / MIB

    def crowd(self, connections: int, *, length: Length) -> Crowd:
        """A web process that is the bottleneck."""
        stack, client = self._stack, self._stack.client
        stack.asked("fast", bodies=self._bodies, connections=FEW, seconds=1)
        before = read_metrics(client)
        result = stack.asked(
            "fast", bodies=self._bodies, connections=connections, seconds=length.connections
        )
        started = time.monotonic()
        next_by_model = not stack.predict("fast", body=self._body)["default"]
        next_seconds = time.monotonic() - started
        after = published_metrics(
            client, application="fast", before=before, answered=result.answered
        )
        change = Change(before=before, after=after)
        rate = result.rate * (1.0 - change.default_ratio("fast"))
        self._say(
            f"  {connections:5,} connections: {rate:,.0f} answers/s by the model, P99 "
            f"{result.p99_us / 1e3:,.0f} ms; the next query took {next_seconds * 1e3:,.0f} ms"
        )
        return Crowd(
            connections=connections,
            rate=rate,
            all_rate=result.rate,
            p50=result.p50_us / 1e6,
            p99=result.p99_us / 1e6,
            errors=result.errors,
            next_seconds=next_seconds,
            next_by_model=next_by_model,
        )


# What must hold.


def in_time(sample: Query, *, objective: float) -> bool:
    """Answered by the model within the objective, counted from when the query was due."""
    return sample.status == 200 and not sample.default and sample.took <= objective


def in_vain(sample: Query, *, objective: float) -> bool:
    """Neither answered in time nor turned away in time: kept waiting for nothing."""
    return sample.status != 200 or sample.took > objective


def between(flood: Flood, begin: float, end: float) -> list[Query]:
    return [sample for sample in flood.samples if begin <= sample.due < end]


def good_rate(flood: Flood) -> float:
    """Answers a second in time by the model, while too much was offered."""
    good = [in_time(s, objective=flood.objective) for s in between(flood, flood.begin, flood.end)]
    return sum(good) / (flood.end - flood.begin)


def seconds_to_recover(flood: Flood) -> float:
    """From the end of the overload until the first query due after it was answered in time."""
    after = between(flood, flood.end, math.inf)
    good = (s for s in after if in_time(s, objective=flood.objective))
    return min((s.due + s.took - flood.end for s in good), default=math.nan)


def memory_growth(flood: Flood) -> float:
    """The web process's memory at the end of the overload, beside that soon after its begin."""
    during = [r for r in flood.memory if flood.begin + SETTLED_SECONDS <= r.at < flood.end]
    return during[-1].mib / during[0].mib if during else math.nan


def share(samples: Sequence[bool]) -> float:
    return sum(samples) / len(samples) if samples else math.nan


def targets(result: Overload) -> list[Target]:
    flood, objective = result.flood, result.flood.objective
    few, many = (next(c for c in result.crowds if c.connections == n) for n in (FEW, MANY))
    during = between(flood, flood.begin, flood.end)
    # What was left in the queue is done within one objective.
    after = between(flood, flood.end + objective, math.inf)
    what, again = f"{FACTOR:g} x capacity offered", "after the overload"
    return [
        at_least(f"{what}: answers in time : capacity", good_rate(flood) / flood.capacity, 0.90),
        at_most(
            "memory of the web process, end : begin of the overload", memory_growth(flood), 1.05
        ),
        at_most(
            "queries kept waiting beyond the objective, or without any answer",
            100 * share([in_vain(s, objective=objective) for s in during]),
            1.0,
            unit=" %",
        ),
        at_most(
            f"{again}, until a query is answered in time",
            seconds_to_recover(flood) * 1e3,
            # What waits when it ends may wait for one objective, and is answered first.
            2 * objective * 1e3,
            unit=" ms",
        ),
        at_least(
            f"{again}, answers in time",
            100 * share([in_time(s, objective=objective) for s in after]),
            99.0,
            unit=" %",
        ),
        at_least(f"throughput, {MANY:,} connections : {FEW}", many.rate / few.rate, 0.70),
        at_most(
            f"the next query after {MANY:,} connections",
            many.next_seconds * 1e3 if many.next_by_model else math.nan,
            1000.0,
            unit=" ms",
        ),
    ]


def draw(result: Overload) -> Figure:
    flood = result.flood
    figure = charts.styled(
        title="Overload",
        subtitle=f"Left: a model of {1e3 / flood.capacity:.1f} ms a query is offered {FACTOR:g} "
        "times what it can do, open loop over HTTP. Right: a fast model, closed loop.",
        width=11.0,
        height=6.4,
    )
    axes = figure.subplot_mosaic(
        [["answers", "crowds"], ["latency", "waits"], ["memory", "waits"]],
        width_ratios=[2.4, 1.0],
        height_ratios=[1.7, 1.0, 0.7],
    )
    _draw_answers(axes["answers"], flood)
    _draw_latency(axes["latency"], flood)
    _draw_memory(axes["memory"], flood)
    _draw_crowds(axes["crowds"], result.crowds)
    _draw_waits(axes["waits"], result.crowds)
    charts.legend(figure, axes["answers"], columns=4)
    return figure


def _steps(flood: Flood) -> list[float]:
    """The begins of all steps of the charts."""
    last = max(sample.due for sample in flood.samples)
    return [STEP * number for number in range(math.ceil(last / STEP))]


def _draw_answers(axes: Axes, flood: Flood) -> None:
    """The queries of each step by how they ended."""
    objective = flood.objective
    good, turned_away, vain = [], [], []
    for start in _steps(flood):
        samples = between(flood, start, start + STEP)
        good.append(sum(in_time(s, objective=objective) for s in samples) / STEP)
        vain.append(sum(in_vain(s, objective=objective) for s in samples) / STEP)
        turned_away.append(len(samples) / STEP - good[-1] - vain[-1])
    axes.stackplot(
        _steps(flood), good, turned_away, vain,
        colors=[charts.BLUE, charts.PALE, charts.LIMIT], step="post",
        labels=["by the model, in time", "default, in time", "late or none"],
    )  # fmt: skip
    axes.axhline(
        flood.capacity, color=charts.INK, linewidth=1.1, linestyle=(0, (5, 3)), label="capacity"
    )
    axes.set(title="Queries by how they ended", ylabel="queries/s", ylim=(0, None))
    _share_time(axes, flood, named=False)


def _draw_latency(axes: Axes, flood: Flood) -> None:
    steps = [between(flood, start, start + STEP) for start in _steps(flood)]
    for q, colour, name in ((P99, charts.ORANGE, "P99"), (0.5, charts.BLUE, "median")):
        values = [percentile([s.took for s in samples], q) * 1e3 for samples in steps]
        middles = [start + STEP / 2 for start in _steps(flood)]
        axes.plot(middles, values, color=colour, linewidth=1.4, label=name)
    charts.limit(axes, flood.objective * 1e3, label="objective")
    top = max(1.4 * flood.objective * 1e3, axes.get_ylim()[1])
    axes.set(title="Latency of all answers", ylabel="ms", ylim=(0, top))
    axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    _share_time(axes, flood, named=False)


def _draw_memory(axes: Axes, flood: Flood) -> None:
    axes.plot([r.at for r in flood.memory], [r.mib for r in flood.memory], color=charts.TEAL)
    top = max(reading.mib for reading in flood.memory)
    axes.set(title="Memory of the web process", ylabel="MiB", ylim=(0, 1.2 * top))
    _share_time(axes, flood, named=True)


def _share_time(axes: Axes, flood: Flood, *, named: bool) -> None:
    axes.axvspan(flood.begin, flood.end, color=charts.SHADE, linewidth=0, zorder=0)
    axes.set_xlim(0, _steps(flood)[-1])
    if named:
        axes.set_xlabel("seconds (shaded: overload)")
    else:
        axes.tick_params(labelbottom=False)


def _draw_crowds(axes: Axes, crowds: Sequence[Crowd]) -> None:
    rates = [crowd.rate for crowd in crowds]
    charts.bars(
        axes, range(len(crowds)), rates, colour=charts.BLUE, texts=[*map(number, rates)],
        inside=True,
    )  # fmt: skip
    charts.limit(axes, 0.7 * rates[0], label="70 %", at=0.53)
    _name_crowds(axes, crowds)
    axes.set(title="Answers by the model", ylabel="queries/s")
    axes.yaxis.set_major_formatter(charts.THOUSANDS)


def _draw_waits(axes: Axes, crowds: Sequence[Crowd]) -> None:
    names = {"median": charts.BLUE, "P99": charts.ORANGE, "next query, after": charts.TEAL}
    for offset, field, colour in zip(
        (-0.27, 0.0, 0.27), ("p50", "p99", "next_seconds"), names.values(), strict=True
    ):
        values = [getattr(crowd, field) * 1e3 for crowd in crowds]
        places = [place + offset for place in range(len(crowds))]
        texts = [f"{value:,.0f}" for value in values]
        charts.bars(axes, places, values, colour=colour, texts=texts, width=0.24)
    charts.keys(axes, names, loc="upper left")
    _name_crowds(axes, crowds)
    axes.set(title="Latency", ylabel="ms")


def _name_crowds(axes: Axes, crowds: Sequence[Crowd]) -> None:
    axes.set_xticks(range(len(crowds)), [f"{crowd.connections:,}" for crowd in crowds])
    axes.set_xlabel("connections")


OVERLOAD = Experiment(
    name="overload",
    title="Overload: three times the capacity, and 1,500 connections",
    workload=f"an open loop at {FACTOR:g} times the capacity, and closed ones",
    systems=("a stack whose model is the bottleneck", "one whose web process is"),
    result=Overload,
    measure=measure,
    targets=targets,
    draw=draw,
)
