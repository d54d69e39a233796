"""Replicas: one model answered by 1 to 16 processes, all on the same cores."""

from __future__ import annotations

from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies
from benchmarks.growth.models import asked as asked_one
from benchmarks.growth.place import Place, Places
from benchmarks.growth.ratio_curve import ratio_curve
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

NAME = "replicas"
SIZES, QUICK_SIZES = (1, 2, 4, 8, 16), (1, 8)
MODEL, SERIES = "replicated", "one is asked"
# More replicas than cores: smaller batches, so more frames for as many queries.
AT_MOST = 1.5


def measure_it(session: Session, places: Places) -> Growth:
    place = places.alone()
    place.publish(MODEL)
    place.apply(MODEL, MODEL)
    place.wait_for(MODEL, body=bodies.body().encode())
    parts = []
    with counting_defaults(place) as defaults:
        for size in QUICK_SIZES if session.quick else SIZES:
            scale(place, count=size)
            pair = Pair(series=SERIES, size=size, here=asked(place), beside=asked_one(place))
            parts.append(measure([pair], length=length_of(session), say=session.say))
    scale(place, count=1)
    return growth(joined(*parts), defaults=defaults)


def scale(place: Place, *, count: int) -> None:
    place.operator.scale(MODEL, replicas=count)
    place.wait_for_replicas(MODEL, count=count)


def asked(place: Place) -> Asked:
    file = bodies.written(place.folder / "small.txt", [bodies.body()])
    return Asked(place=place, application=MODEL, bodies=always(file))


REPLICAS = ratio_curve(
    NAME,
    of=NAME,
    measure=measure_it,
    at_most={SERIES: AT_MOST},
    heading="Replicas of the model that is asked",
    subtitle="Each is a process; all share the cores. Yardstick: a model with one, beside it.",
)
