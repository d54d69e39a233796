"""Web processes: 1 to 4 of them, on the same cores, before the same replica."""

from __future__ import annotations

from benchmarks.figures.experiment import Session
from benchmarks.growth.models import asked
from benchmarks.growth.place import Places, place
from benchmarks.growth.ratio_curve import ratio_curve
from benchmarks.growth.results import Growth
from benchmarks.growth.rounds import Pair, counting_defaults, growth, joined, length_of, measure

NAME = "web"
SIZES, QUICK_SIZES = (1, 2, 4), (2,)
SERIES = "one is asked"
# Each has batches and idle moments of its own, and they take the cores from each other.
AT_MOST = 1.75


def measure_it(session: Session, places: Places) -> Growth:
    """Every size is a stack of its own, beside the one that has one web process."""
    one = places.alone()
    defaults: list[float] = []
    parts = []
    for size in QUICK_SIZES if session.quick else SIZES:
        workers = {"CLIPPER_WEB_WORKERS": str(size)}
        with (
            place(f"web processes: {size}", say=session.say, **workers) as many,
            counting_defaults(one, many) as missed,
        ):
            pair = Pair(series=SERIES, size=size, here=asked(many), beside=asked(one))
            parts.append(measure([pair], length=length_of(session), say=session.say))
        defaults += missed
    return growth(joined(*parts), defaults=defaults)


WEB = ratio_curve(
    NAME,
    of="web processes",
    measure=measure_it,
    at_most={SERIES: AT_MOST},
    heading="Web processes",
    subtitle="All share the cores with the replica and the load generator. "
    "Yardstick: a stack beside it with one.",
)
