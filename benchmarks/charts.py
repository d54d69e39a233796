"""Charts as what they show: panels, each a line or bars for each column of a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.frames import Frame
from benchmarks.telling import number

# The paper's numbers, and bounds: never a colour of ours.
PAPER, LIMIT = "#9aa5b1", "#c53030"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes: a line, or `bars`, for each column that `of` makes of a result.

    `log` names logarithmic axes, `limits` bound y, `marks` x; `paper` has the paper's own numbers.
    """

    title: str
    of: Callable[[Frame], Frame]
    x: str = ""
    y: str = ""
    bars: bool = False
    across: bool = False
    style: str = "o-"
    log: str = ""
    limits: Sequence[float] = ()
    marks: Sequence[float] = ()
    paper: Callable[[Frame], Frame] | None = None
    more: Callable[[Axes, Frame], object] | None = None

    def draw(self, axes: Axes, result: Frame) -> None:
        found, known = self.of(result), self.paper(result) if self.paper else Frame()
        if self.bars or self.across:
            draw_bars(axes, found, known=known, across=self.across)
        else:
            for name, values in found.items():
                seen = values.dropna()
                axes.plot(seen.index, seen, self.style, label=name)
            for name, values in known.items():
                axes.plot(values.index, values, "D-", color=PAPER, linewidth=1.0, label=name)
        for name in self.log:
            logarithmic(axes.xaxis if name == "x" else axes.yaxis)
        for draw, bounds in ((axes.axhline, self.limits), (axes.axvline, self.marks)):
            for bound in bounds:
                draw(bound, color=LIMIT, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
        axes.set(title=self.title, xlabel=self.x, ylabel=self.y)
        if not self.log and not self.across:
            axes.set_ylim(bottom=0)
        if self.more is not None:
            self.more(axes, result)
        if axes.get_legend_handles_labels()[1][1:]:
            axes.legend()


def draw_bars(axes: Axes, groups: Frame, *, known: Frame, across: bool) -> None:
    """A bar for each column at each row, saying what it amounts to, and a diamond for the paper."""
    width = 0.8 / len(groups.columns)
    for place, (name, values) in enumerate(groups.items()):
        offsets = np.arange(len(values)) + (place - (len(groups.columns) - 1) / 2) * width
        drawn = (axes.barh if across else axes.bar)(offsets, values, 0.9 * width, label=name)
        axes.bar_label(drawn, fmt=number, fontsize=8, padding=2)
        if name in known:
            axes.plot(offsets, known[name], "D", color=PAPER, markeredgecolor="white", zorder=3)
    names = [f"{name:,}" if isinstance(name, int) else str(name) for name in groups.index]
    if across:
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    else:
        axes.set_xticks(range(len(names)), names)
    axes.margins(x=0.2 if across else None, y=None if across else 0.2)
    axes.grid(visible=False, axis="y" if across else "x")


def logarithmic(axis: Axis) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
