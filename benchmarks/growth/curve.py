"""The shape that every curve has: measured on the stacks of a run, judged, drawn, tabulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from matplotlib.figure import Figure

from benchmarks.figures.claims import Claim
from benchmarks.figures.experiment import Experiment, Session
from benchmarks.growth.place import Places

Result = TypeVar("Result", bound=msgspec.Struct)
Rows = list[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve(Generic[Result]):
    """One curve. `table` has a header and a row for each point."""

    name: str
    title: str
    result: type[Result]
    measure: Callable[[Session, Places], Result]
    claims: Callable[[Result], list[Claim]]
    draw: Callable[[Result], Figure]
    table: Callable[[Result], Rows]

    def on(self, places: Places) -> Experiment[Result]:
        """The same as one of the paper's figures, which are measured without stacks to share."""
        return Experiment(
            name=self.name,
            title=self.title,
            result=self.result,
            measure=lambda session: self.measure(session, places),
            claims=self.claims,
            draw=self.draw,
        )
