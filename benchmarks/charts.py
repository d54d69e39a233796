"""How all charts look, and the few marks that they are made of: one palette, light lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

INK, QUIET, GRID = "#1f2933", "#66727f", "#e6eaee"
BLUE, ORANGE, TEAL, VIOLET, ROSE = "#2b6cb0", "#dd6b20", "#2a9d8f", "#7b5fb8", "#c94f7c"
PALE, SHADE = "#d3dae1", "#fdf3ea"
# The paper's numbers, and the objective: never a colour of ours.
PAPER, LIMIT = "#9aa5b1", "#c53030"
DASHED = (0, (5, 3))
THOUSANDS = "{x:,.0f}"
DPI = 160

SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK, "axes.edgecolor": PAPER, "axes.linewidth": 0.8, "axes.grid": True,
    "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.titlepad": 8, "axes.labelsize": 9.5,
    "grid.color": GRID, "grid.linewidth": 0.8,
    "xtick.color": QUIET, "ytick.color": QUIET, "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.minor.size": 0, "ytick.minor.size": 0,
    "lines.linewidth": 1.8, "lines.markersize": 4.5, "lines.solid_capstyle": "round",
    "legend.frameon": False, "legend.fontsize": 9,
    "figure.facecolor": "white", "savefig.facecolor": "white",
}  # fmt: skip

# Space in inches: around the panels, and above them for the headline and the legend.
MARGIN, HEAD = 0.12, 0.72


def applied() -> AbstractContextManager[None]:
    """Draw and save within this."""
    return mpl.rc_context(SETTINGS)


def save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DPI, metadata={"Software": None})


# The figure and its panels.


def styled(*, title: str, subtitle: str, width: float, height: float) -> Figure:
    """A figure in inches, with what it shows and under which conditions above its panels."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    x, y = MARGIN / width, MARGIN / height
    figure.set_layout_engine(
        "constrained", rect=(x, y, 1 - 2 * x, 1 - y - HEAD / height), w_pad=0.02, h_pad=0.02,
        wspace=0.06, hspace=0.08,
    )  # fmt: skip
    top = 1.0 - MARGIN / height
    figure.text(x, top, title, va="top", fontsize=13.5, fontweight="bold")
    figure.text(x, top - 0.29 / height, subtitle, va="top", fontsize=9.5, color=QUIET)
    return figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure of some panels, each drawn by a function of its axes and the result.

    `size` is in inches. With a `legend` of so many columns the first panel's series are named once
    for all of them.
    """

    title: str
    subtitle: str | Callable[[Any], str]
    size: tuple[float, float]
    panels: Sequence[Callable[[Axes, Any], None]]
    rows: int = 1
    legend: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, result: Any) -> Figure:
        subtitle = self.subtitle if isinstance(self.subtitle, str) else self.subtitle(result)
        width, height = self.size
        figure = styled(title=self.title, subtitle=subtitle, width=width, height=height)
        columns = len(self.panels) // self.rows
        found = panels(figure, rows=self.rows, columns=columns, **self.options)
        for axes, draw in zip(found, self.panels, strict=True):
            draw(axes, result)
        if self.legend:
            legend(figure, found[0], columns=self.legend)
        return figure


def panels(figure: Figure, *, rows: int = 1, columns: int = 1, **options: Any) -> list[Axes]:
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    return [axes for row in grid for axes in row]


def legend(figure: Figure, axes: Axes, *, columns: int) -> None:
    """Name the series once for all panels, at the top right."""
    handles, labels = axes.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    figure.legend(
        handles, labels, loc="upper right", ncols=columns, borderaxespad=0.0, columnspacing=1.4,
        bbox_to_anchor=(1.0 - MARGIN / width, 1.0 - MARGIN / height),
    )  # fmt: skip


def logarithmic(axis: Axis) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def few_ticks() -> MaxNLocator:
    return MaxNLocator(nbins=5, integer=True)


# The marks.


def limit(axes: Axes, value: float, *, label: str = "", at: float = 0.99) -> None:
    """A horizontal bound, named at its right end."""
    axes.axhline(value, color=LIMIT, linewidth=1.1, linestyle=DASHED, zorder=1.5)
    axes.text(
        at, value, label, color=LIMIT, fontsize=8.5, ha="right", va="bottom",
        transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def papers(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], *, label: str = "", hollow: bool = True
) -> None:
    """The paper's own numbers: diamonds, hollow where they stand on bars."""
    if hollow:
        axes.plot(xs, ys, "D", color=QUIET, markerfacecolor="white", markersize=5.5, label=label)
    else:
        axes.plot(xs, ys, "D", color=PAPER, markersize=3.5, label=label)


def note(axes: Axes, text: str, at: tuple[float, float], *, by: Any = (4, 0), **style: Any) -> None:
    """Write something beside a point, `by` so many printer's points away from it."""
    axes.annotate(text, at, xytext=by, textcoords="offset points", **{"fontsize": 8} | style)


def name_bar(axes: Axes, row: float, value: float, *, text: str, quiet: bool = False) -> None:
    """Write what a horizontal bar amounts to at its end."""
    size, colour = (8, QUIET) if quiet else (9, INK)
    note(axes, text, (value, row), va="center", fontsize=size, color=colour)


def bars(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[float],
    *,
    colour: str,
    texts: Sequence[str],
    width: float = 0.56,
    label: str | None = None,
    inside: bool = False,
) -> None:
    """Vertical bars, each saying what it amounts to: above it, or in white `inside` at its foot."""
    axes.bar(places, values, width=width, color=colour, label=label)
    for place, value, text in zip(places, values, texts, strict=True):
        if inside:
            note(axes, text, (place, 0), by=(0, 6), ha="center", fontsize=9.5, color="white",
                 fontweight="bold")  # fmt: skip
        else:
            note(axes, text, (place, value), by=(0, 2), ha="center")
    axes.grid(visible=False, axis="x")


def rows(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    *,
    colours: Sequence[str],
    texts: Sequence[str],
    ends: Sequence[float] | None = None,
) -> None:
    """Horizontal bars from the top, named at the left, each saying at its end what it amounts to.

    `ends` are where what belongs to a bar ends, if that is further than the bar itself.
    """
    axes.barh(range(len(names)), values, height=0.56, color=colours)
    for row, (end, text) in enumerate(zip(ends or values, texts, strict=True)):
        name_bar(axes, row, end, text=text)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def keys(axes: Axes, colours: dict[str, str], **where: Any) -> None:
    """A legend of colours that several bars share."""
    for label, colour in colours.items():
        axes.bar(0, 0, color=colour, label=label)
    axes.legend(**where)
