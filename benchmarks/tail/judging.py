"""What must hold of the tail, the table and the chart that show it beside the echo server's."""

from __future__ import annotations

import msgspec
from matplotlib.figure import Figure

from benchmarks import charts
from benchmarks.latencies import Tail
from benchmarks.tables import Rows
from benchmarks.tail.bench import SHARE, Measured
from benchmarks.tail.scenarios import STEADY
from benchmarks.targets import Target, number

STEADY_P99_SECONDS = 0.020
# More of the machine kept busy by others than this makes a tail doubtful.
QUIET_CORES = 0.1
# An echo server that is as slow as this says that the machine or the generator was.
ECHO_P999_SECONDS = 0.020
# A generator that sends as late as this is a part of what it measures.
LATE_SECONDS = 0.005
HEADER = (
    *("scenario", "p50", "p99", "p99.9", "max", "p99.9 : echo", "p99.9 : steady"),
    *("defaults", "errors"),
)
WORST = 3
ROW_INCHES = 0.42
MARKS = (
    ("p50", "median", charts.BLUE),
    ("p99", "P99", charts.TEAL),
    ("p999", "P99.9", charts.ORANGE),
    ("max", "slowest", charts.ROSE),
)


class Tails(msgspec.Struct, frozen=True, kw_only=True):
    """The scenarios, in their order, each as it was measured last."""

    scenarios: list[Measured]

    @property
    def steady(self) -> Measured | None:
        return next((one for one in self.scenarios if one.name == STEADY), None)


def targets(result: Tails) -> list[Target]:
    """Generous bounds: what an application would notice, and not what a good minute shows."""
    return [target for one in result.scenarios for target in _targets_of(one)]


def _targets_of(one: Measured) -> list[Target]:
    def target(what: str, seen: float, *, at_most: float, unit: str = "") -> Target:
        return Target(figure=one.name, what=what, seen=seen, at_most=at_most, unit=unit)

    tail = one.tail
    found = [
        target("p99.9", tail.p999 * 1e3, at_most=one.objective * 1e3, unit=" ms"),
        target("default answers", tail.defaults, at_most=0),
        target("errors", tail.errors, at_most=0),
    ]
    if one.name == STEADY:
        steady = target("p99", tail.p99 * 1e3, at_most=STEADY_P99_SECONDS * 1e3, unit=" ms")
        found.insert(0, steady)
    return found


def rows(result: Tails) -> Rows:
    """Return a table: header, the echo server in the rounds of `steady`, then every scenario."""
    steady = result.steady
    found: Rows = [HEADER]
    if steady is not None:
        found.append(("bare echo server", *_latencies(steady.echo), "", "", "", ""))
    for one in result.scenarios:
        tail = one.tail
        beside = "" if steady in (None, one) else number(tail.p999 / steady.tail.p999)
        ratios = number(tail.p999 / one.echo.p999), beside
        counts = number(tail.defaults), number(tail.errors)
        found.append((one.title, *_latencies(tail), *ratios, *counts))
    return found


def _latencies(tail: Tail) -> list[str]:
    return [f"{number(getattr(tail, name) * 1e3)} ms" for name, _, _ in MARKS]


def notes(result: Tails) -> str:
    """The worst stretches of each scenario, and what may be the machine's fault."""
    lines = [
        f"{one.title}: {spike.worst * 1e3:.0f} ms at {spike.at:.1f} s, {spike.queries} slow "
        f"queries in {spike.seconds * 1e3:.0f} ms, during "
        f"{', '.join(spike.during) or 'nothing of ours'}"
        for one in result.scenarios
        for spike in one.spikes[:WORST]
    ]
    return "\n".join(["The worst stretches", *lines, *doubts(result)])


def doubts(result: Tails) -> list[str]:
    """Say where the machine or the generator, rather than the server, may have made the tail."""
    found = []
    for one in result.scenarios:
        elsewhere, late, echo = one.cores.get("elsewhere", 0.0), one.tail.late, one.echo.p999
        for doubtful, why in (
            (elsewhere > QUIET_CORES, f"other processes kept {elsewhere:.0%} of a core busy"),
            (
                late > LATE_SECONDS,
                f"the generator sent one query in a thousand {late * 1e3:.0f} ms late or later",
            ),
            (
                echo > ECHO_P999_SECONDS,
                f"beside it even the echo server's p99.9 was {echo * 1e3:.0f} ms",
            ),
        ):
            if doubtful:
                found.append(f"Doubtful: {one.title}: {why}")
    return found


def draw(result: Tails) -> Figure:
    """Percentiles of each scenario, a row each; the echo server first, if it is known."""
    first, steady = result.scenarios[0], result.steady
    tails = [("bare echo server", steady.echo)] if steady else []
    tails += [(one.title, one.tail) for one in result.scenarios]
    figure = charts.styled(
        title="The tail of latency",
        subtitle=f"{number(first.tail.rate)} queries/s, open loop, {SHARE:.0%} of capacity; "
        "from when a query was due to its answer.",
        width=10.0,
        height=1.5 + ROW_INCHES * len(tails),
    )
    (axes,) = charts.panels(figure)
    for row, (_, tail) in enumerate(tails):
        values = [getattr(tail, name) * 1e3 for name, _, _ in MARKS]
        axes.plot([values[0], values[-1]], [row, row], color=charts.PALE, linewidth=3.0, zorder=1)
        for value, (_, label, colour) in zip(values, MARKS, strict=True):
            label = label if row == 0 else ""
            axes.plot([value], [row], "o", color=colour, markersize=7, label=label, zorder=2)
        charts.name_bar(axes, row, values[-1], text=f" {number(values[-1])}", quiet=True)
    charts.logarithmic(axes.xaxis)
    objective = first.objective * 1e3
    axes.axvline(objective, color=charts.LIMIT, linewidth=1.1, linestyle=charts.DASHED, zorder=1.5)
    axes.text(objective, -0.62, " objective", color=charts.LIMIT, fontsize=8.5, va="center")
    axes.set_yticks(range(len(tails)), [title for title, _ in tails])
    axes.set(xlabel="ms", ylim=(len(tails) - 0.5, -0.9))
    axes.grid(visible=False, axis="y")
    charts.legend(figure, axes, columns=len(MARKS))
    return figure
