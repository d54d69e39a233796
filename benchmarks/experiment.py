"""The shape that every experiment has, and what it works with while it is measured."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.charts import Panel
from benchmarks.command import Say, say
from benchmarks.frames import Frame, Records
from benchmarks.telling import Rows, Target

T = TypeVar("T")
STYLE = Path(__file__).with_name("charts.mplstyle")
# Space in inches: around the panels, and above them for the headline.
MARGIN, HEAD = 0.12, 0.72


@dataclass(slots=True, kw_only=True)
class Session:
    """The tools of a run: `folder` is soon gone, `results` lasts, `shared` serves all of them."""

    folder: Path
    results: Path
    options: argparse.Namespace = field(default_factory=argparse.Namespace)
    say: Say = say
    _held: dict[str, tuple[Any, ExitStack]] = field(default_factory=dict)

    @property
    def quick(self) -> bool:
        """Return if a first look is asked for: fewer points, shorter, less certain."""
        return getattr(self.options, "quick", False)

    def shared(self, name: str, start: Callable[[], AbstractContextManager[T]]) -> T:
        """Return what is started when it is first asked for, and kept for the next experiment."""
        if name not in self._held:
            held = ExitStack()
            self._held[name] = held.enter_context(start()), held
        found: T = self._held[name][0]
        return found

    def end(self, *names: str) -> None:
        """Stop these, as far as they run."""
        for name in names:
            if name in self._held:
                self._held.pop(name)[1].close()

    def close(self) -> None:
        self.end(*self._held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One question put to some systems: a workload for each of its points, a verdict, a chart.

    `measure` asks each of `systems` the `workload` at every point, turn and turn about.
    """

    name: str
    title: str
    workload: str
    systems: Sequence[str]
    measure: Callable[[Session], Records]
    targets: Callable[[Frame], list[Target]]
    panels: Sequence[Panel] = ()
    # Of each panel, in inches.
    size: tuple[float, float] = (4.6, 3.5)
    table: Callable[[Frame], Rows] | None = None
    # What is said of a result beside its table and its targets.
    notes: Callable[[Frame], str] | None = None

    def draw(self, result: Frame, *, to: Path) -> None:
        """Draw the panels, up to three in a row, under what they show and what was asked."""
        rows = -(-len(self.panels) // 3)
        columns = -(-len(self.panels) // rows)
        width, height = self.size[0] * columns, self.size[1] * rows + HEAD
        with style.context(STYLE):
            figure = Figure(figsize=(width, height))
            x, y = MARGIN / width, MARGIN / height
            inside = (x, y, 1 - 2 * x, 1 - y - HEAD / height)
            figure.set_layout_engine("constrained", rect=inside, wspace=0.06, hspace=0.08)
            figure.text(x, 1 - y, self.title, va="top", fontsize=13.5, fontweight="bold")
            figure.text(x, 1 - y - 0.29 / height, self.workload, va="top", fontsize=9.5)
            grid = figure.subplots(rows, columns, squeeze=False)
            for axes, panel in zip(grid.flat, self.panels, strict=False):
                panel.draw(axes, result)
            for axes in grid.flat[len(self.panels) :]:
                axes.set_axis_off()
            to.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(to, metadata={"Software": None})


def turns(points: Sequence[T], *, rounds: int) -> Iterator[tuple[int, T]]:
    """Go through all points in every round, there and back, each with the number of its round. A
    neighbour with a rhythm must not always meet the same point.
    """
    for number in range(1, rounds + 1):
        for point in points if number % 2 else reversed(points):
            yield number, point


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the loop that web processes have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
