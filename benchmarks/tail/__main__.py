"""`make bench-tail`: the tail of latency at half of capacity and at 70 %, alone and disturbed."""

import pandas as pd

from benchmarks.charts import Panel
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Record, Records
from benchmarks.linear import LINEAR_SLO_MS
from benchmarks.study import QUIET, Study, stored
from benchmarks.tail import bench
from benchmarks.tail.bench import WORST
from benchmarks.tail.scenarios import BOTH, HIGH, ORDINARY, SCENARIOS, STEADY
from benchmarks.telling import Target, number, rows_of

ECHO = "bare echo server"
# An echo server as slow as this, or a generator that sends as late, is a part of what it measures.
ECHO_P999_MS, LATE_MS = 20.0, 5.0
TAIL_MS = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"}
STEADY_P99_MS = 20.0
# Who takes less of a core than this is not told of.
BUSY = 0.01
# What somebody else's doing may add to the ninety-ninth percentile.
ADDED_P99_MS = 10.0
# What a deploy may lose at the higher share, in percent of the queries.
LOST_PERCENT = 0.1


def measure(session: Session) -> Records:
    """Measure what is chosen; the other scenarios stay as they were measured last."""
    chosen = {*(session.options.names or SCENARIOS), STEADY}
    try:
        before = stored(TAIL, results=session.results).to_dict("records")
    except Failed:
        before = []
    seen = bench.measured(
        [one for one in SCENARIOS.values() if one.name in chosen], session=session
    )
    found = {(one["name"], one["share"]): one for one in (*_kept(before), *seen)}
    rows = [(one.name, share) for one in SCENARIOS.values() for share in one.shares]
    return [found[row] for row in rows if row in found]


def _kept(before: Records) -> Records:
    """Return the records measured at shares, as the oldest weren't."""
    return [one for one in before if one.get("share", 0) > 0]


def targets(result: Frame) -> list[Target]:
    """Return the targets of each row; none compares with another stack's steady load."""
    steady = {row["share"]: row for row in result.to_dict("records") if row["name"] == STEADY}
    return [
        target
        for row in result.to_dict("records")
        for target in _targets_of(row, steady=steady.get(row["share"]))
    ]


def _targets_of(row: Record, *, steady: Record | None) -> list[Target]:
    scenario = SCENARIOS[row["name"]]
    what = f"{row['name']} at {row['share']:.0%}"
    found = []
    if row["name"] == STEADY:
        found.append(Target(f"{what}: p99", row["p99_ms"], f"≤ {STEADY_P99_MS:g} ms"))
    elif steady is not None and scenario.deploys | (scenario.kind is ORDINARY):
        most = f"≤ {steady['p99_ms'] + ADDED_P99_MS:.3g} ms"
        found.append(Target(f"{what}: p99", row["p99_ms"], most))
    found.append(Target(f"{what}: p99.9", row["p999_ms"], f"≤ {LINEAR_SLO_MS:g} ms"))
    if scenario.deploys and row["share"] >= HIGH:
        lost = 100 * row["default_count"] / row["queries"]
        found.append(Target(f"{what}: default answers", lost, f"≤ {LOST_PERCENT:g} %"))
    else:
        found.append(Target(f"{what}: default answers", row["default_count"], "≤ 0"))
    return [*found, Target(f"{what}: errors", row["errors"], "≤ 0")]


def with_echo(result: Frame) -> Frame:
    """At each share the echo server in the rounds of `steady`, then every scenario, under their
    titles.
    """
    parts = [_of_share(result[result["share"] == share], share=share) for share in BOTH]
    return pd.concat([part for part in parts if not part.empty])


def _of_share(rows: Frame, *, share: float) -> Frame:
    if rows.empty:
        return rows
    steady = rows[rows["name"] == STEADY].iloc[0]
    echo = {"title": ECHO, "share": share}
    echo |= {field: steady[f"echo_{field}"] for field in TAIL_MS.values()}
    others = rows["name"] != STEADY
    scenarios = rows.assign(
        title=[SCENARIOS[name].title for name in rows["name"]],
        beside_echo=rows["p999_ms"] / rows["echo_p999_ms"],
        above_steady=(rows["p99_ms"] - steady["p99_ms"]).where(others),
        lost=100 * rows["default_count"] / rows["queries"],
    )
    return pd.concat([Frame([echo]), scenarios])


def notes(result: Frame) -> str:
    """The worst stretches of each row, who was busy, and what may be the machine's fault."""
    lines = ["The worst stretches"]
    for row in result.to_dict("records"):
        name = f"{row['name']} at {row['share']:.0%}"
        for worst, ms, during in row["spikes"][:WORST]:
            what = ", ".join(during) or "nothing of ours"
            lines.append(f"{name}: {worst:.0f} ms, slow for {ms:.0f} ms, during {what}")
        for field, most, why in (
            ("elsewhere", QUIET, "other processes kept {:.0%} of a core busy"),
            ("late_ms", LATE_MS, "the generator sent one query in a thousand {:.0f} ms late"),
            ("echo_p999_ms", ECHO_P999_MS, "even the echo server's p99.9 was {:.0f} ms"),
        ):
            if row[field] > most:
                lines.append(f"Doubtful: {name}: {why.format(row[field])}")
    return "\n".join([*lines, *_busy(result)])


def _busy(result: Frame) -> list[str]:
    """The cores that each role kept busy in each row, the busiest first."""
    rows = [row for row in result.to_dict("records") if isinstance(row.get("cores"), dict)]
    lines = ["Cores kept busy"] if rows else []
    for row in rows:
        cores = sorted(row["cores"].items(), key=lambda role: -role[1])
        told = ", ".join(f"{role} {busy:.2f}" for role, busy in cores if busy >= BUSY)
        lines.append(f"{row['name']} at {row['share']:.0%}: {told}")
    return lines


def _panel(share: float) -> Panel:
    def bars(result: Frame) -> Frame:
        shown = with_echo(result)
        shares = shown[shown["share"] == share].set_index("title")
        return shares[list(TAIL_MS.values())].set_axis(list(TAIL_MS), axis="columns")

    return Panel(
        title=f"{share:.0%} of capacity", x="ms", across=True, log="x", marks=(LINEAR_SLO_MS,),
        of=bars,
    )  # fmt: skip


MS, SHARE = "{:.3g} ms", "{:.0%}"
TAIL = Experiment(
    name="tail",
    title="The tail of latency",
    workload="an open loop at half of what a closed one gets answered, and at 70 % of it",
    systems=("a stack, one scenario after the other", "a bare echo server"),
    measure=measure,
    targets=targets,
    panels=tuple(map(_panel, BOTH)),
    size=(7.4, 7.6),
    table=lambda result: rows_of(
        with_echo(result),
        {
            "load": ("share", SHARE), "scenario": ("title", str),
            **{name: (field, MS) for name, field in TAIL_MS.items()},
            "p99 - steady": ("above_steady", "{:+.3g} ms"), "p99.9 : echo": ("beside_echo", number),
            "defaults": ("default_count", number), "of queries": ("lost", "{:.3g} %"),
            "errors": ("errors", number),
        },
    ),
    notes=notes,
)  # fmt: skip


CAPACITY = {
    "type": float,
    "help": "queries/s that count as the capacity, rather than those of a closed loop",
}
STUDY = Study.of(
    TAIL,
    about=__doc__,
    quick="a first look, in three minutes",
    parts=tuple(SCENARIOS),
    options={"--capacity": CAPACITY},
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
