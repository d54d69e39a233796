"""Web processes: 1 to 4 of them, on the same cores, before the same replica."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.figures.claims import Claim
from benchmarks.figures.experiment import Session
from benchmarks.growth import drawing, judging
from benchmarks.growth.curve import Curve, Rows
from benchmarks.growth.models import asked
from benchmarks.growth.place import Places, place
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


def claims(result: Growth) -> list[Claim]:
    return [
        *judging.ratio_claims(NAME, result, of="web processes", at_most={SERIES: AT_MOST}),
        judging.no_failures(NAME, result),
    ]


def draw(result: Growth) -> Figure:
    return drawing.draw(
        result,
        title="Web processes",
        subtitle="All share the cores with the replica and the load generator. "
        "Yardstick: a stack beside it with one.",
        of="web processes",
        bound=AT_MOST,
    )


def table(result: Growth) -> Rows:
    return judging.table(result, of="web processes")


WEB = Curve(
    name=NAME,
    title="How the cost of a query grows with the web processes",
    result=Growth,
    measure=measure_it,
    claims=claims,
    draw=draw,
    table=table,
)
