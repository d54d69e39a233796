"""Curves of which the largest size is judged beside its yardstick."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.figures.experiment import Session
from benchmarks.growth import drawing, judging
from benchmarks.growth.curve import Curve
from benchmarks.growth.place import Places
from benchmarks.growth.results import Growth


def ratio_curve(
    name: str,
    *,
    of: str,
    measure: Callable[[Session, Places], Growth],
    at_most: Mapping[str, float],
    heading: str,
    subtitle: str,
) -> Curve[Growth]:
    """One curve over the number `of` something. `at_most` is by series; the first is drawn in."""
    return Curve(
        name=name,
        title=f"How the cost of a query grows with {heading[0].lower()}{heading[1:]}",
        result=Growth,
        measure=measure,
        claims=lambda result: [
            *judging.ratio_claims(name, result, of=of, at_most=at_most),
            judging.no_failures(name, result),
        ],
        draw=lambda result: drawing.draw(
            result, title=heading, subtitle=subtitle, of=of, bound=next(iter(at_most.values()))
        ),
        table=lambda result: judging.table(result, of=of),
    )
