"""`make bench-growth`: how the cost of a query grows, in seven curves and a snapshot.

Without names all of them. Each leaves its numbers as JSON and a chart as PNG. A target that is
missed is said so, and is no failure of the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.growth.curves import CURVES
from benchmarks.growth.snapshot import SNAPSHOT
from benchmarks.study import RESULTS, Measured, Study
from benchmarks.tables import markdown, replaced
from benchmarks.targets import VERDICT, rows
from scripts.stack.layout import ROOT

JUDGED = {"must hold": "what"} | {name: field for name, field in VERDICT.items() if name != "what"}


def publish(page: str, measured: Sequence[Measured]) -> str:
    """Return the page with the tables of these curves, each between its marks."""
    for curve, result in measured:
        assert curve.table is not None
        judged = markdown(rows(curve.judged(result), columns=JUDGED))
        text = f"{markdown(curve.table(result))}\n{judged}"
        page = replaced(page, mark=curve.name, text=text)
    return page


STUDY = Study(
    name="bench-growth",
    module="growth",
    about=__doc__,
    # The contexts, which leave much behind, come last.
    experiments=(
        *(curve.experiment for curve in CURVES[:2]),
        SNAPSHOT,
        *(curve.experiment for curve in CURVES[2:]),
    ),
    folder=RESULTS / "growth",
    page=ROOT / "docs/results/growth.md",
    quick="a first look, in four minutes",
    named=True,
    publish=publish,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
