"""What a soak amounts to: its phases, and what must hold of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from statistics import mean

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import charts
from benchmarks.soak.messages import Progress, Sort, Tally, Trouble
from benchmarks.tables import DASH, Rows, table
from benchmarks.targets import Target, at_least, at_most, exactly, number

# Memory is compared with that after so many queries, when all caches have filled.
SETTLED_QUERIES = 10_000
GROWTH = 1.2
# Means of so many readings: memory goes up and down with the garbage.
READINGS = 5
# After a process is back its clients need a moment to find it.
GRACE_SECONDS = 3.0
CALM = "calm"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory in MiB (`pss`: shared pages divided) when `queries` had been asked.

    Of the web process that answers, by its id; of all processes of the CPU worker together, which
    are the replicas and the slots without one; and of Redis.
    """

    at: float
    queries: int
    pid: int
    web: float
    web_pss: float
    worker_pss: float
    redis: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One disruption from its begin until the stack had recovered; `failure` where it hadn't."""

    name: str
    at: float
    over: float
    connections_break: bool = False
    feedback_waits: bool = False
    failure: str = ""

    def excuses(self, trouble: Trouble) -> bool:
        """Whether it had to be: never an error."""
        permitted = {Sort.BROKEN: self.connections_break, Sort.REFUSED: self.feedback_waits}
        soon = self.at <= trouble.at <= self.over + GRACE_SECONDS
        return soon and permitted.get(trouble.sort, False)


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was seen. `rows` are those of the feedback in the database; `replicas_*`
    is the resident memory of each version's replicas in MiB.
    """

    wanted_queries: int = 0
    started: float
    progress: list[Progress]
    troubles: list[Trouble]
    events: list[Event]
    memory: list[Reading]
    left_open: float
    rows: int
    replicas_before: dict[str, float]
    replicas_after: dict[str, float]

    @property
    def last(self) -> Progress:
        return self.progress[-1]

    @property
    def seconds(self) -> float:
        return self.last.at - self.started


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """From one event to the next; `recovery` is how long its event took, in seconds."""

    name: str
    seconds: float
    recovery: float | None
    queries: int
    defaults: int
    late: int
    errors: int
    broken: int
    refused: int


def phases(soak: Soak) -> list[Phase]:
    """The calm before the first event, then one phase for each event."""
    begins = [soak.started, *(event.at for event in soak.events), soak.last.at + 1.0]
    found = []
    for event, (begin, end) in zip([None, *soak.events], pairwise(begins), strict=True):
        before, after = _until(soak.progress, begin), _until(soak.progress, end)
        sorts = [trouble.sort for trouble in soak.troubles if begin <= trouble.at < end]
        found.append(
            Phase(
                name=event.name if event else CALM,
                seconds=min(end, soak.last.at) - begin,
                recovery=event.over - event.at if event else None,
                queries=after.total("queries") - before.total("queries"),
                defaults=after.total("defaults") - before.total("defaults"),
                late=after.total("late") - before.total("late"),
                errors=sorts.count(Sort.ERROR),
                broken=sorts.count(Sort.BROKEN),
                refused=sorts.count(Sort.REFUSED),
            )
        )
    return found


def _until(progress: Sequence[Progress], moment: float) -> Progress:
    """What had been reported by then."""
    nothing = Progress(at=0.0, tallies={"": Tally()}, acknowledged=0, troubles=[])
    return next((line for line in reversed(progress) if line.at <= moment), nothing)


def unexcused(soak: Soak) -> list[Trouble]:
    """Everything wrong that no event explains."""
    return [
        trouble
        for trouble in soak.troubles
        if not any(event.excuses(trouble) for event in soak.events)
    ]


def growth(readings: Iterable[Reading]) -> dict[int, float]:
    """By web process: its memory at the end, divided by that after its first 10,000 queries."""
    found = {}
    for pid, life in groupby(readings, key=lambda reading: reading.pid):
        whole = list(life)
        settled = [r for r in whole if r.queries >= whole[0].queries + SETTLED_QUERIES]
        if len(settled) > READINGS:
            first, last = settled[:READINGS], settled[-READINGS:]
            found[pid] = mean(r.web for r in last) / mean(r.web for r in first)
    return found


def targets(soak: Soak) -> list[Target]:
    grown = max(growth(soak.memory).values(), default=float("nan"))
    stuck = [event for event in soak.events if event.failure]
    acknowledged = soak.last.acknowledged
    return [
        at_least("queries", soak.last.total("queries"), soak.wanted_queries),
        at_most("errors, and breaks and refusals without a cause", len(unexcused(soak)), 0),
        at_most("events without a recovery", len(stuck), 0),
        at_most("queries in flight or waiting at the end", soak.left_open, 0),
        at_least("feedback acknowledged", acknowledged, 1),
        exactly("rows in the database less than that", acknowledged - soak.rows, 0),
        at_most("memory of the web process at the end : after 10,000 queries", grown, GROWTH),
    ]


def notes(soak: Soak) -> str:
    parts = [table(_kinds(soak)), table(_memory(soak))]
    parts += [f"{t.at - soak.started:7.1f} s  {t.kind}: {t.what}" for t in unexcused(soak)[:20]]
    parts += [f"{event.name}: {event.failure}" for event in soak.events if event.failure]
    return "\n\n".join(parts)


def phase_table(soak: Soak) -> Rows:
    rows: Rows = [
        ("phase", "s", "recovered", "queries", "defaults", "late", "errors", "broken", "again")
    ]
    for phase in phases(soak):
        recovered = DASH if phase.recovery is None else f"{phase.recovery:.1f}"
        counts = (
            *(phase.queries, phase.defaults, phase.late),
            *(phase.errors, phase.broken, phase.refused),
        )
        rows.append((phase.name, f"{phase.seconds:.0f}", recovered, *(f"{n:,}" for n in counts)))
    return rows


def _kinds(soak: Soak) -> Rows:
    rows: Rows = [("kind", "queries", "defaults", "late", "errors", "broken")]
    for kind, tally in soak.last.tallies.items():
        counts = (tally.queries, tally.defaults, tally.late, tally.errors, tally.broken)
        rows.append((kind, *(f"{n:,}" for n in counts)))
    return rows


def _memory(soak: Soak) -> Rows:
    rows: Rows = [("MiB", "first", "last", "most")]
    for name, field in (
        ("web RSS", "web"), ("web PSS", "web_pss"), ("CPU worker PSS", "worker_pss"),
        ("Redis RSS", "redis"),
    ):  # fmt: skip
        values = [getattr(reading, field) for reading in soak.memory]
        if values:
            rows.append((name, *(f"{n:,.0f}" for n in (values[0], values[-1], max(values)))))
    for version in sorted(soak.replicas_before.keys() | soak.replicas_after.keys()):
        ends = (soak.replicas_before.get(version), soak.replicas_after.get(version))
        rows.append((version, *(DASH if n is None else number(n) for n in ends), DASH))
    return rows


# The chart: rate and memory over time, with what happened meanwhile.

ABOVE = {"loc": "lower right", "ncols": 2, "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}


def draw(soak: Soak) -> Figure:
    figure = charts.styled(
        title="Soak",
        subtitle=f"{soak.last.total('queries'):,} queries in {soak.seconds:,.0f} s from clients "
        "that never pause, while one part after another is changed or killed",
        width=11.0,
        height=7.0,
    )
    panels = charts.panels(figure, rows=3, sharex=True, height_ratios=[3, 2, 1.4])
    rate, web, others = panels
    _draw_rate(rate, soak)
    for earlier, (_, life) in enumerate(groupby(soak.memory, key=lambda reading: reading.pid)):
        # Each process by itself: where one was killed another begins anew.
        readings = list(life)
        _draw_memory(web, soak, readings, {"web": ("RSS", charts.TEAL)}, named=not earlier)
        _draw_memory(web, soak, readings, {"web_pss": ("PSS", charts.VIOLET)}, named=not earlier)
    worker = {"worker_pss": ("CPU worker and replicas, PSS", charts.ROSE)}
    _draw_memory(others, soak, soak.memory, worker | {"redis": ("Redis, RSS", charts.INK)})
    web.set(title="Memory of the web process", ylabel="MiB")
    others.set(title="Memory of the others", ylabel="MiB")
    for axes in panels:
        for event in soak.events:
            begin, over = event.at - soak.started, event.over - soak.started
            axes.axvspan(begin, max(over, begin + 0.5), color=charts.PALE, linewidth=0, zorder=0)
        axes.legend(**ABOVE)
        axes.set(xlim=(0, soak.seconds), ylim=(0, None))
    others.set_xlabel("seconds (shaded: until the stack had recovered)")
    return figure


def _draw_rate(axes: Axes, soak: Soak) -> None:
    times, rates, unserved = [], [], []
    for before, after in pairwise(soak.progress):
        seconds = after.at - before.at
        times.append(after.at - soak.started)
        rates.append((after.total("queries") - before.total("queries")) / seconds)
        wrong = [after.total(f) - before.total(f) for f in ("defaults", "late", "broken", "errors")]
        unserved.append(sum(wrong) / seconds)
    axes.plot(times, rates, color=charts.BLUE, linewidth=1.2, label="queries")
    axes.plot(times, unserved, color=charts.ORANGE, linewidth=1.2, label="default, late or broken")
    axes.set(title="Queries a second")
    axes.yaxis.set_major_formatter(charts.THOUSANDS)
    top = 1.5 * max(rates, default=1.0)
    axes.set_ylim(0, top)
    for event in soak.events:
        charts.note(
            axes, event.name, (event.at - soak.started, top), by=(2, -2), rotation=90, va="top",
            fontsize=7, color=charts.QUIET,
        )  # fmt: skip


def _draw_memory(
    axes: Axes,
    soak: Soak,
    readings: Sequence[Reading],
    fields: Mapping[str, tuple[str, str]],
    *,
    named: bool = True,
) -> None:
    times = [reading.at - soak.started for reading in readings]
    for field, (name, colour) in fields.items():
        values = [getattr(reading, field) for reading in readings]
        axes.plot(times, values, color=colour, label=name if named else None, linewidth=1.4)
