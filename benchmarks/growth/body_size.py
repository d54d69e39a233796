"""Body sizes: from 64 bytes to a megabyte, for a model that ignores what is in them."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies, drawing, judging
from benchmarks.growth.curve import Curve, Rows
from benchmarks.growth.place import PATIENT_MS, Place, Places
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

NAME = "body"
SIZES = (64, 1 << 10, 8 << 10, 64 << 10, 256 << 10, 1 << 20)
QUICK_SIZES = (64, 64 << 10, 1 << 20)
STRINGS, NUMBERS = "a string", "numbers"
TEXTS, ARRAYS = "texts", "arrays"
# Few, as all of them together are in memory several times at the largest size.
CONNECTIONS = 16
KIB = 1 << 10
# A body beyond the processor's caches costs more a byte than one within.
MIDDLE, AT_MOST = 64 << 10, 2.0


def measure_it(session: Session, places: Places) -> Growth:
    place = places.alone()
    for model, input_type, body in (
        (TEXTS, "strings", bodies.text),
        (ARRAYS, "doubles", bodies.array),
    ):
        place.publish(model, input_type=input_type)
        place.apply(model, model, input_type=input_type, slo_ms=PATIENT_MS)
        place.wait_for(model, body=body(SIZES[0]).encode())
    pairs = [
        pair
        for size in (QUICK_SIZES if session.quick else SIZES)
        for pair in _pairs(place, size=size)
    ]
    with counting_defaults(place) as defaults:
        series = measure(pairs, length=length_of(session), say=session.say)
    return growth(series, defaults=defaults)


def _pairs(place: Place, *, size: int) -> list[Pair]:
    beside = asked(place, TEXTS, size=SIZES[0], body=bodies.text)
    kinds = ((STRINGS, TEXTS, bodies.text), (NUMBERS, ARRAYS, bodies.array))
    return [
        Pair(
            series=series,
            size=size,
            here=asked(place, application, size=size, body=body),
            beside=beside,
        )
        for series, application, body in kinds
    ]


def asked(place: Place, application: str, *, size: int, body: Callable[[int], str]) -> Asked:
    file = bodies.written(place.folder / f"{application}-{size}.txt", [body(size)])
    return Asked(place=place, application=application, bodies=always(file), connections=CONNECTIONS)


def added(series: Series) -> list[tuple[float, float]]:
    """KiB, and what they cost beyond the smallest query of the same round."""
    return [(point.size / KIB, point.grown) for point in series.points]


def claims(result: Growth) -> list[Claim]:
    return [
        *(
            Claim(
                figure=NAME,
                what=f"CPU of one more KiB, 64 KiB to 1 MiB : up to 64 KiB, {series.name}",
                seen=bend(added(series), at=MIDDLE / KIB),
                at_most=AT_MOST,
            )
            for series in result.series
        ),
        judging.no_failures(NAME, result),
    ]


def draw(result: Growth) -> Figure:
    each = slope(added(result.named(STRINGS)))
    figure = drawing.draw(
        result,
        title="Bytes of the body",
        subtitle=f"The model ignores them: {number(each)} µs a KiB of string. "
        "Yardstick: 64 bytes, in the same rounds.",
        of="bytes",
    )
    for axes in figure.axes:
        axes.set_ylim(auto=True)
        style.logarithmic(axes.yaxis)
    return figure


def table(result: Growth) -> Rows:
    return judging.table(result, of="bytes")


BODY = Curve(
    name=NAME,
    title="How the cost of a query grows with the bytes of its body",
    result=Growth,
    measure=measure_it,
    claims=claims,
    draw=draw,
    table=table,
)
