"""Models: from 1 to 200 registered with a version each, of which one is live and is asked."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.figures.claims import Claim
from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies, drawing, judging
from benchmarks.growth.curve import Curve, Rows
from benchmarks.growth.place import MODEL, Place, Places
from benchmarks.growth.registry import grow
from benchmarks.growth.results import Growth
from benchmarks.growth.rounds import (
    Asked,
    Pair,
    always,
    counting_defaults,
    growth,
    joined,
    length_of,
    measure,
)

NAME = "models"
SIZES, QUICK_SIZES = (1, 10, 50, 200), (200,)
SERIES = "one is asked"
AT_MOST = 1.15


def measure_it(session: Session, places: Places) -> Growth:
    small, grown = places.pair()
    length = length_of(session)
    parts = []
    with counting_defaults(small, grown) as defaults:
        for size in QUICK_SIZES if session.quick else SIZES:
            grow(grown, models=size)
            pair = Pair(series=SERIES, size=size, here=asked(grown), beside=asked(small))
            parts.append(measure([pair], length=length, say=session.say))
    return growth(joined(*parts), defaults=defaults)


def asked(place: Place) -> Asked:
    file = bodies.written(place.folder / "small.txt", [bodies.body()])
    return Asked(place=place, application=MODEL, bodies=always(file))


def claims(result: Growth) -> list[Claim]:
    return [
        *judging.ratio_claims(NAME, result, of=NAME, at_most={SERIES: AT_MOST}),
        judging.no_failures(NAME, result),
    ]


def draw(result: Growth) -> Figure:
    return drawing.draw(
        result,
        title="Models registered",
        subtitle="One of them is live and is asked. Yardstick: a stack beside it that has one.",
        of=NAME,
        bound=AT_MOST,
    )


def table(result: Growth) -> Rows:
    return judging.table(result, of=NAME)


MODELS = Curve(
    name=NAME,
    title="How the cost of a query grows with the models registered",
    result=Growth,
    measure=measure_it,
    claims=claims,
    draw=draw,
    table=table,
)
