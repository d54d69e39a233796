"""`make bench-growth`: how the cost of a query grows, and what a changing registry costs it."""

from benchmarks.growth.curves import CURVES
from benchmarks.growth.snapshot import SNAPSHOT
from benchmarks.study import Study

STUDY = Study(
    name="growth",
    about=__doc__,
    # The contexts, which leave much behind, come last.
    experiments=(
        *(curve.experiment for curve in CURVES[:1]),
        SNAPSHOT,
        *(curve.experiment for curve in CURVES[1:]),
    ),
    quick="a first look, in four minutes",
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
