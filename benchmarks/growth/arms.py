"""Arms: an ensemble of 1 to 16 cheap models, all of which every query asks."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies, drawing, judging
from benchmarks.growth.curve import Curve, Rows
from benchmarks.growth.place import Place, Places
from benchmarks.growth.results import Growth, Series, bend, slope
from benchmarks.growth.rounds import (
    Asked,
    Pair,
    always,
    counting_defaults,
    growth,
    length_of,
    measure,
)

NAME = "arms"
SIZES, QUICK_SIZES = (1, 2, 4, 8, 16), (1, 4, 16)
ALL, ASKS_ALL = "all arms are asked", "exp4"
# All arms are to answer in time, with sixteen replicas on the same cores.
SLO_MS = 500.0
# Where the line is looked at for a bend, and how much steeper it may be beyond.
MIDDLE, AT_MOST = 4, 1.3


def measure_it(session: Session, places: Places) -> Growth:
    place = places.alone()
    sizes = QUICK_SIZES if session.quick else SIZES
    models = [f"arm-{number}" for number in range(1, max(sizes) + 1)]
    place.publish(*models)
    for size in sizes:
        place.apply(application(size), *models[:size], policy=ASKS_ALL, slo_ms=SLO_MS)
        place.wait_for(application(size), body=bodies.body().encode())
    beside = asked(place, size=1)
    pairs = [
        Pair(series=ALL, size=size, here=asked(place, size=size), beside=beside) for size in sizes
    ]
    with counting_defaults(place) as defaults:
        series = measure(pairs, length=length_of(session), say=session.say)
    return growth(series, defaults=defaults)


def application(size: int) -> str:
    return f"{NAME}-{size}"


def asked(place: Place, *, size: int) -> Asked:
    file = bodies.written(place.folder / "small.txt", [bodies.body()])
    return Asked(place=place, application=application(size), bodies=always(file))


def added(series: Series) -> list[tuple[float, float]]:
    """Arms, and what they cost beyond a query to one arm in the same round."""
    return [(float(point.size), point.grown) for point in series.points]


def claims(result: Growth) -> list[Claim]:
    points = added(result.named(ALL))
    return [
        Claim(
            figure=NAME,
            what=f"CPU of one more arm, {MIDDLE} to {points[-1][0]:g} : 1 to {MIDDLE}",
            seen=bend(points, at=MIDDLE),
            at_most=AT_MOST,
        ),
        Claim(
            figure=NAME,
            what="CPU of one more arm : of a whole query to one",
            seen=slope(points) / result.named(ALL).points[0].cost,
            at_most=1.0,
        ),
        judging.no_failures(NAME, result),
    ]


def draw(result: Growth) -> Figure:
    each = slope(added(result.named(ALL)))
    return drawing.draw(
        result,
        title="Arms of an ensemble",
        subtitle=f"{ASKS_ALL} asks all of them: {number(each)} µs an arm. "
        "Yardstick: one arm, in the same rounds.",
        of=NAME,
        linear=True,
    )


def table(result: Growth) -> Rows:
    return judging.table(result, of=NAME)


ARMS = Curve(
    name=NAME,
    title="How the cost of a query grows with the arms that it asks",
    result=Growth,
    measure=measure_it,
    claims=claims,
    draw=draw,
    table=table,
)
