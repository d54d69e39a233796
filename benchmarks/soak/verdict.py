"""What a soak amounts to: its phases, and what must hold of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from statistics import mean

import msgspec

from benchmarks.figures.claims import Claim, number
from benchmarks.report import table
from benchmarks.soak.memory import Reading
from benchmarks.soak.messages import Progress, Sort, Tally, Trouble

# Memory is compared with that after so many queries, when all caches have filled.
SETTLED_QUERIES = 10_000
GROWTH = 1.2
# Means of so many readings: memory goes up and down with the garbage.
READINGS = 5
# After a process is back its clients need a moment to find it.
GRACE_SECONDS = 3.0
CALM = "calm"


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


def claims(soak: Soak, *, wanted_queries: int) -> list[Claim]:
    def claim(
        what: str, seen: float, *, at_least: float | None = None, at_most: float | None = None
    ) -> Claim:
        return Claim(figure="soak", what=what, seen=seen, at_least=at_least, at_most=at_most)

    grown = max(growth(soak.memory).values(), default=float("nan"))
    stuck = [event for event in soak.events if event.failure]
    return [
        claim("queries", soak.last.total("queries"), at_least=wanted_queries),
        claim("errors, and breaks and refusals without a cause", len(unexcused(soak)), at_most=0),
        claim("events without a recovery", len(stuck), at_most=0),
        claim("queries in flight or waiting at the end", soak.left_open, at_most=0),
        claim("feedback acknowledged", soak.last.acknowledged, at_least=1),
        claim("rows in the database less than that", soak.last.acknowledged - soak.rows,
              at_least=0, at_most=0),
        claim("memory of the web process at the end : after 10,000 queries", grown, at_most=GROWTH),
    ]  # fmt: skip


def summary(soak: Soak, *, judged: Sequence[Claim]) -> str:
    parts = [_phase_table(soak), _kind_table(soak), _memory_table(soak)]
    parts += [f"{t.at - soak.started:7.1f} s  {t.kind}: {t.what}" for t in unexcused(soak)[:20]]
    parts += [f"{event.name}: {event.failure}" for event in soak.events if event.failure]
    rows = [("what", "wanted", "seen", "")]
    rows += [(c.what, c.wanted, _exactly(c.seen), c.verdict) for c in judged]
    return "\n\n".join([*parts, table(rows)])


def _exactly(value: float) -> str:
    """Counts to the last one, and other numbers by the digits that matter."""
    return f"{value:,.0f}" if float(value).is_integer() else number(value)


def _phase_table(soak: Soak) -> str:
    header = ("phase", "s", "recovered", "queries", "defaults", "late", "errors", "broken", "again")
    rows = [
        (
            phase.name,
            f"{phase.seconds:.0f}",
            "-" if phase.recovery is None else f"{phase.recovery:.1f}",
            *(f"{n:,}" for n in (phase.queries, phase.defaults, phase.late)),
            *(f"{n:,}" for n in (phase.errors, phase.broken, phase.refused)),
        )
        for phase in phases(soak)
    ]
    return table([header, *rows])


def _kind_table(soak: Soak) -> str:
    rows: list[tuple[str, ...]] = [("kind", "queries", "defaults", "late", "errors", "broken")]
    for kind, tally in soak.last.tallies.items():
        counted = (tally.queries, tally.defaults, tally.late, tally.errors, tally.broken)
        rows.append((kind, *(f"{n:,}" for n in counted)))
    return table(rows)


def _memory_table(soak: Soak) -> str:
    rows: list[tuple[str, ...]] = [("MiB", "first", "last", "most")]
    for name, field in (
        ("web RSS", "web"), ("web PSS", "web_pss"), ("CPU worker PSS", "worker_pss"),
        ("Redis RSS", "redis"),
    ):  # fmt: skip
        values = [getattr(reading, field) for reading in soak.memory]
        if values:
            rows.append((name, *(f"{n:,.0f}" for n in (values[0], values[-1], max(values)))))
    for version in sorted(soak.replicas_before.keys() | soak.replicas_after.keys()):
        ends = (soak.replicas_before.get(version), soak.replicas_after.get(version))
        rows.append((version, *("-" if n is None else number(n) for n in ends), "-"))
    return table(rows)
