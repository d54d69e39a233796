"""Models: from 1 to 200 registered with a version each, of which one is live and is asked."""

from __future__ import annotations

from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies
from benchmarks.growth.place import MODEL, Place, Places
from benchmarks.growth.ratio_curve import ratio_curve
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


MODELS = ratio_curve(
    NAME,
    of=NAME,
    measure=measure_it,
    at_most={SERIES: AT_MOST},
    heading="Models registered",
    subtitle="One of them is live and is asked. Yardstick: a stack beside it that has one.",
)
