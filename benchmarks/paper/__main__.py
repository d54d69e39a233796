"""`make bench-paper`: the paper's Figures 4, 6 and 9, an overload and feedback."""

from benchmarks.paper.batching import FIG4, FIG6
from benchmarks.paper.feedback import FEEDBACK
from benchmarks.paper.fig9 import FIG9
from benchmarks.paper.overload import OVERLOAD
from benchmarks.study import Study

STUDY = Study(
    name="paper",
    about=__doc__,
    experiments=(FIG4, FIG6, OVERLOAD, FIG9, FEEDBACK),
    quick="a first look, in about four minutes",
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
