"""`make bench-paper`: the paper's Figures 3 to 10, an overload and feedback, measured and judged.

Without names all of them. Each leaves its numbers as JSON and a chart as PNG. A target that is
missed is said so, and is no failure of the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import tables, targets
from benchmarks.paper.feedback import FEEDBACK
from benchmarks.paper.fig3 import FIG3
from benchmarks.paper.fig4 import FIG4
from benchmarks.paper.fig5 import FIG5
from benchmarks.paper.fig6 import FIG6
from benchmarks.paper.fig7 import FIG7
from benchmarks.paper.fig8 import FIG8
from benchmarks.paper.fig9 import FIG9
from benchmarks.paper.fig10 import FIG10
from benchmarks.paper.overload import OVERLOAD
from benchmarks.study import RESULTS, Measured, Study
from scripts.stack.layout import ROOT

EXPERIMENTS = (FIG3, FIG4, FIG5, FIG6, OVERLOAD, FIG7, FIG8, FIG9, FIG10, FEEDBACK)
MARK = "measured"


def publish(page: str, measured: Sequence[Measured]) -> str:
    """Return the page with the targets of these figures in its table, in the figures' order.

    The rows of those that were not measured stay as they are.
    """
    by_figure: dict[str, tables.Rows] = {}
    for row in tables.read(tables.found_at(page, mark=MARK)):
        by_figure.setdefault(row[0], []).append(row)
    for experiment, result in measured:
        judged = targets.rows(experiment.judged(result), columns=targets.WITH_PAPER)
        by_figure[experiment.name] = judged[1:]
    ordered = [row for one in EXPERIMENTS for row in by_figure.get(one.name, [])]
    text = tables.markdown([tuple(targets.WITH_PAPER), *ordered])
    return tables.replaced(page, mark=MARK, text=text)


STUDY = Study(
    name="bench-paper",
    module="paper",
    about=__doc__,
    experiments=EXPERIMENTS,
    folder=RESULTS / "paper",
    page=ROOT / "docs/results/paper.md",
    quick="a first look, in about four minutes",
    named=True,
    publish=publish,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
