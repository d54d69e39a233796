"""How all charts look: one palette, light lines, words instead of boxes around them."""

from __future__ import annotations

from contextlib import AbstractContextManager
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
DPI = 160

SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PAPER,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


# Space in inches: around the panels, and above them for the headline and the legend.
MARGIN, HEAD = 0.12, 0.72


def applied() -> AbstractContextManager[None]:
    """Draw and save within this."""
    return mpl.rc_context(SETTINGS)


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


def panels(figure: Figure, *, rows: int, columns: int, **options: Any) -> list[Axes]:
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


def limit(axes: Axes, value: float, *, label: str, at: float = 0.99) -> None:
    """A horizontal bound, named at its right end."""
    axes.axhline(value, color=LIMIT, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
    axes.text(
        at, value, label, color=LIMIT, fontsize=8.5, ha="right", va="bottom",
        transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DPI, metadata={"Software": None})


def logarithmic(axis: Axis) -> None:
    """A logarithmic axis whose ticks are plain numbers."""
    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def few_ticks() -> MaxNLocator:
    return MaxNLocator(nbins=5, integer=True)


def name_bar(axes: Axes, row: float, value: float, *, text: str, quiet: bool = False) -> None:
    """Write what a horizontal bar amounts to at its end."""
    axes.annotate(
        text, (value, row), xytext=(4, 0), textcoords="offset points", va="center",
        fontsize=8 if quiet else 9, color=QUIET if quiet else INK,
    )  # fmt: skip
