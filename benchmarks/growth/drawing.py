"""Two panels for a curve: what a query costs, and that beside the yardstick of the same round."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.figures import style
from benchmarks.growth.results import Growth, Point, Series

COLOURS = (style.BLUE, style.ORANGE, style.TEAL, style.VIOLET)
WIDTH, HEIGHT = 9.6, 3.9


def draw(
    result: Growth,
    *,
    title: str,
    subtitle: str,
    of: str,
    bound: float | None = None,
    linear: bool = False,
) -> Figure:
    """`bound` is what the ratio may be; `linear` axes where a line is to be seen."""
    figure = style.styled(title=title, subtitle=subtitle, width=WIDTH, height=HEIGHT)
    cost, ratio = style.panels(figure, rows=1, columns=2)
    for series, colour in zip(result.series, cycle(COLOURS), strict=False):
        _line(cost, series, colour=colour, of=lambda point: point.cost)
        _line(ratio, series, colour=colour, of=lambda point: point.ratio)
    _yardstick(cost, result)
    cost.set_title("CPU time of the web process a query, µs")
    ratio.set_title("beside the yardstick of the same round")
    for axes in (cost, ratio):
        axes.set_xlabel(of)
        if linear:
            axes.set_xlim(left=0)
        else:
            style.logarithmic(axes.xaxis)
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_ylim(bottom=0, top=1.2 * axes.get_ylim()[1])
    if bound is not None:
        style.limit(ratio, bound, label=f"at most {bound:g}")
        ratio.set_ylim(0, max(ratio.get_ylim()[1], 1.4 * bound))
    style.legend(figure, cost, columns=2)
    return figure


def _line(
    axes: Axes, series: Series, *, colour: str, of: Callable[[Point], float], marker: str = "o"
) -> None:
    sizes = [point.size for point in series.points]
    axes.plot(sizes, list(map(of, series.points)), color=colour, marker=marker, label=series.name)


def _yardstick(axes: Axes, result: Growth) -> None:
    points = result.series[0].points
    axes.plot(
        [point.size for point in points],
        [point.yardstick for point in points],
        color=style.PAPER, linestyle=(0, (2, 2)), label="yardstick",
    )  # fmt: skip
