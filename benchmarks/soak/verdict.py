"""The verdict on a soak: its phases, and the conditions that must hold."""

from itertools import pairwise

from benchmarks.charts import Panel
from benchmarks.frames import Frame, Record, Records, of
from benchmarks.soak.clients import BROKEN, COUNTED, ERROR, REFUSED
from benchmarks.telling import Rows, Target, rows_of

# What is kept, with moments in seconds: totals of each kind of client, what was wrong, each
# disruption until the stack had recovered, memory, and the end.
TALLY, TROUBLE, EVENT, MEMORY, END = "tally", "trouble", "event", "memory", "end"
# Memory is compared with that after so many queries, when all caches have filled.
SETTLED_QUERIES = 10_000
# Means of so many readings: memory goes up and down with the garbage.
READINGS = 5
# After a process is back its clients need a moment to find it.
GRACE_SECONDS = 3.0


def _records(soak: Frame, kind: str) -> Records:
    found: Records = of(soak, kind=kind).to_dict("records")
    return found


def totals(soak: Frame) -> Frame:
    """Return the counts of all clients together, by the time of their report."""
    return of(soak, kind=TALLY).groupby("at")[list(COUNTED)].sum()


def phases(soak: Frame) -> Frame:
    """The calm before the first event, then one phase for each event, until the next."""
    seen, events = totals(soak), _records(soak, EVENT)
    begins = [0.0, *(event["at"] for event in events), seen.index[-1] + 1.0]
    found = []
    for event, (begin, end) in zip([None, *events], pairwise(begins), strict=True):
        counts = seen[seen.index <= end].iloc[-1:].sum() - seen[seen.index <= begin].iloc[-1:].sum()
        sorts = [one["sort"] for one in _records(soak, TROUBLE) if begin <= one["at"] < end]
        phase = {
            "phase": event["name"] if event else "calm",
            "s": min(end, seen.index[-1]) - begin,
            "recovered": event["over"] - event["at"] if event else None,
        }
        troubles = {"errors": ERROR, "broken": BROKEN, "again": REFUSED}
        found.append(
            phase
            | counts[["queries", "defaults", "late"]].to_dict()
            | {name: sorts.count(sort) for name, sort in troubles.items()}
        )
    return Frame(found)


def phase_table(soak: Frame) -> Rows:
    found = phases(soak)
    shown = dict.fromkeys(found.columns, "{:,.0f}") | {"phase": "{}", "recovered": "{:.1f}"}
    return rows_of(found, {name: (name, text) for name, text in shown.items()})


def unexcused(soak: Frame) -> Records:
    """Everything wrong that no event explains: which is never an error, and only soon after."""
    events = _records(soak, EVENT)

    def excused(trouble: Record) -> bool:
        return any(
            event["at"] <= trouble["at"] <= event["over"] + GRACE_SECONDS
            and trouble["sort"] in event["excuses"]
            for event in events
        )

    return [trouble for trouble in _records(soak, TROUBLE) if not excused(trouble)]


def growth(soak: Frame) -> dict[int, float]:
    """Return each web process's memory at the end over that after its first 10,000 queries."""
    found = {}
    memory = of(soak, kind=MEMORY)
    for pid, life in memory.groupby("pid", sort=False) if len(memory) else ():
        settled = life[life["queries"] >= life["queries"].iloc[0] + SETTLED_QUERIES]["web"]
        if len(settled) > READINGS:
            found[int(pid)] = settled.tail(READINGS).mean() / settled.head(READINGS).mean()
    return found


def targets(soak: Frame) -> list[Target]:
    end, failures = _records(soak, END)[0], [event["failure"] for event in _records(soak, EVENT)]
    grown = max(growth(soak).values(), default=float("nan"))
    asked = totals(soak)["queries"].iloc[-1]
    left, kept = end.get("left_open", float("nan")), end["acknowledged"] - end["rows"]
    stuck = len(list(filter(None, failures)))
    return [
        Target("queries", asked, f"≥ {end['wanted']:,.0f}"),
        Target("errors, and breaks and refusals without a cause", len(unexcused(soak)), "≤ 0"),
        Target("events without a recovery", stuck, "≤ 0"),
        Target("queries in flight or waiting at the end", left, "≤ 0"),
        Target("feedback acknowledged", end["acknowledged"], "≥ 1"),
        Target("rows in the database less than that", kept, "= 0"),
        Target("memory of the web process at the end : after 10,000 queries", grown, "≤ 1.2"),
    ]


def notes(soak: Frame) -> str:
    troubles = [f"{t['at']:7.1f} s  {t['client']}: {t['what']}" for t in unexcused(soak)[:20]]
    stuck = [f"{e['name']}: {e['failure']}" for e in _records(soak, EVENT) if e["failure"]]
    return "\n".join([*troubles, *stuck])


def rates(soak: Frame) -> Frame:
    """Each second's queries, and those without a good answer."""
    seen = totals(soak)
    found = seen.diff().div(seen.index.to_series().diff(), axis="index").iloc[1:]
    wrong = found[["defaults", "late", "broken", "errors"]].sum(axis=1)
    return Frame({"queries": found["queries"], "default, late or broken": wrong})


PANELS = (
    Panel(title="Queries a second", of=rates, style="-"),
    # Each web process by itself: where one was killed another begins anew.
    Panel(
        title="Memory of the predict process, MiB", x="seconds", style="-",
        of=lambda soak: of(soak, kind=MEMORY).pivot(index="at", columns="pid", values="web"),
    ),
)  # fmt: skip
