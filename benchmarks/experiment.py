"""The shape that every experiment has, and what it works with while it is measured."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import uvloop
from matplotlib.figure import Figure

from benchmarks.command import Say, say
from benchmarks.tables import Rows
from benchmarks.targets import Target

T = TypeVar("T")
Result = TypeVar("Result", bound=msgspec.Struct)


@dataclass(slots=True, kw_only=True)
class Session:
    """What a run of any experiment works with.

    `folder` is for sockets and logs, and is short-lived; `results` lasts. `options` are those of
    the command line. What one experiment has started others may use (`shared`).
    """

    folder: Path
    results: Path
    options: argparse.Namespace = field(default_factory=argparse.Namespace)
    say: Say = say
    _held: dict[str, tuple[Any, ExitStack]] = field(default_factory=dict)

    @property
    def quick(self) -> bool:
        """Whether a first look is asked for: fewer points, shorter, less certain."""
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
class Experiment(Generic[Result]):
    """One question put to some systems: a workload for each of its points, a verdict, a chart.

    `measure` asks each of `systems` the `workload` at every point, turn and turn about. What it
    returns is a struct: stored as JSON, and judged, drawn and put into a table at will.
    """

    name: str
    title: str
    workload: str
    systems: Sequence[str]
    result: type[Result]
    measure: Callable[[Session], Result]
    targets: Callable[[Result], list[Target]]
    draw: Callable[[Result], Figure] | None = None
    table: Callable[[Result], Rows] | None = None
    # What is said of a result beside its table and its targets.
    notes: Callable[[Result], str] | None = None

    def judged(self, result: Result) -> list[Target]:
        """Return the targets, each under the experiment's name where it has no other."""
        return [
            msgspec.structs.replace(target, figure=target.figure or self.name)
            for target in self.targets(result)
        ]


def turns(points: Sequence[T], *, rounds: int) -> Iterator[tuple[int, T]]:
    """Go through all points in every round, there and back, each with the number of its round.

    A neighbour with a rhythm must not always meet the same point.
    """
    for number in range(1, rounds + 1):
        for point in points if number % 2 else reversed(points):
            yield number, point


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the loop that web processes have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
