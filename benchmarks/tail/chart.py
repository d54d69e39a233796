"""The chart: percentiles of each scenario, a row each, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import number
from benchmarks.tail.bench import SHARE, Measured
from benchmarks.tail.results import Tail
from benchmarks.tail.scenarios import STEADY

ROW_INCHES = 0.42
MARKS = (
    ("p50", "median", style.BLUE),
    ("p99", "P99", style.TEAL),
    ("p999", "P99.9", style.ORANGE),
    ("max", "slowest", style.ROSE),
)


def draw(measured: Sequence[Measured]) -> Figure:
    rows = _rows(measured)
    first = measured[0]
    figure = style.styled(
        title="The tail of latency",
        subtitle=f"{number(first.tail.rate)} queries/s, open loop, {SHARE:.0%} of capacity; "
        "from when a query was due to its answer.",
        width=10.0,
        height=1.5 + ROW_INCHES * len(rows),
    )
    (axes,) = style.panels(figure, rows=1, columns=1)
    for row, (_, tail) in enumerate(rows):
        _draw_row(axes, row, tail)
    style.logarithmic(axes.xaxis)
    objective = first.objective * 1e3
    axes.axvline(objective, color=style.LIMIT, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
    axes.text(
        objective, -0.62, " objective", color=style.LIMIT, fontsize=8.5, ha="left", va="center"
    )
    axes.set_yticks(range(len(rows)), [title for title, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.9)
    axes.set_xlabel("ms")
    axes.grid(visible=False, axis="y")
    style.legend(figure, axes, columns=len(MARKS))
    return figure


def _rows(measured: Sequence[Measured]) -> list[tuple[str, Tail]]:
    """The echo server under the same load first, if it is known."""
    echo = [("bare echo server", one.echo) for one in measured if one.name == STEADY]
    return [*echo, *((one.title, one.tail) for one in measured)]


def _draw_row(axes: Axes, row: int, tail: Tail) -> None:
    values = [getattr(tail, name) * 1e3 for name, _, _ in MARKS]
    axes.plot([values[0], values[-1]], [row, row], color=style.PALE, linewidth=3.0, zorder=1)
    for value, (_, label, colour) in zip(values, MARKS, strict=True):
        axes.plot(
            [value], [row], "o", color=colour, markersize=7, label=label if row == 0 else "",
            zorder=2,
        )  # fmt: skip
    style.name_bar(axes, row, values[-1], text=f" {number(values[-1])}", quiet=True)
