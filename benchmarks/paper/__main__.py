"""`make bench-paper`: the paper's Figures 3 to 10, an overload and feedback."""

from __future__ import annotations

from benchmarks.paper.batching import FIG4, FIG5, FIG6
from benchmarks.paper.feedback import FEEDBACK
from benchmarks.paper.fig3 import FIG3
from benchmarks.paper.fig7 import FIG7
from benchmarks.paper.fig8 import FIG8
from benchmarks.paper.fig9 import FIG9
from benchmarks.paper.fig10 import FIG10
from benchmarks.paper.overload import OVERLOAD
from benchmarks.study import Study

STUDY = Study(
    name="paper",
    about=__doc__,
    experiments=(FIG3, FIG4, FIG5, FIG6, OVERLOAD, FIG7, FIG8, FIG9, FIG10, FEEDBACK),
    quick="a first look, in about four minutes",
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
