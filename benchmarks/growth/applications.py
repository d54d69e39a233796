"""Applications: from 1 to 200 with a route each, the queries for one of them or spread over all."""

from __future__ import annotations

from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies
from benchmarks.growth.place import MODEL, Place, Places
from benchmarks.growth.ratio_curve import ratio_curve
from benchmarks.growth.registry import application_names, grow
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

NAME = "applications"
SIZES, QUICK_SIZES = (1, 10, 50, 200), (1, 200)
ONE, ALL, LENGTHS = "one is asked", "all are asked", "all, with bodies of 16 lengths"
# The size of the registry must not matter. Where all are asked it isn't only the registry that is
# larger: each has counts to publish, and learned state to bring up to date five times a second.
AT_MOST = {ONE: 1.15, ALL: 1.5, LENGTHS: 1.5}


def measure_it(session: Session, places: Places) -> Growth:
    small, grown = places.pair()
    length = length_of(session)
    parts = []
    with counting_defaults(small, grown) as defaults:
        for size in QUICK_SIZES if session.quick else SIZES:
            grow(grown, applications=size)
            parts.append(measure(pairs(small, grown, size=size), length=length, say=session.say))
    return growth(joined(*parts), defaults=defaults)


def pairs(small: Place, grown: Place, *, size: int) -> list[Pair]:
    """With one application there is but one way to ask."""
    one, lengths = (asked(small, series=series, size=1) for series in (ONE, LENGTHS))
    ways = ((ONE, one), (ALL, one), (LENGTHS, lengths))
    return [
        Pair(series=series, size=size, here=asked(grown, series=series, size=size), beside=beside)
        for series, beside in (ways if size > 1 else ways[:1])
    ]


def asked(place: Place, *, series: str, size: int) -> Asked:
    paths = [place.path(name) for name in application_names(1 if series == ONE else size)]
    lengths = bodies.LENGTHS if series == LENGTHS else (bodies.NUMBERS,)
    file = bodies.written(
        place.folder / f"{NAME}-{len(paths)}-{len(lengths)}.txt",
        bodies.spread(paths, lengths=lengths),
    )
    return Asked(place=place, application=MODEL, bodies=always(file))


APPLICATIONS = ratio_curve(
    NAME,
    of=NAME,
    measure=measure_it,
    at_most=AT_MOST,
    heading="Applications registered",
    subtitle="Each has a route to the same model. Yardstick: a stack beside it that has one.",
)
