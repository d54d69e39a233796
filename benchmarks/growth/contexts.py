"""Contexts: from 1 to a million that have learned something, the query's drawn at random.

Web processes keep copies of the states of some thousand contexts and read them again when they are
older than 0.2 s, behind the query. A context that has no copy here is answered from what is known
of all, and read for the next time: that is a miss, and all that grows.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.figures.claims import Claim
from benchmarks.figures.experiment import Session
from benchmarks.growth import bodies, drawing, judging, teaching
from benchmarks.growth.curve import Curve, Rows
from benchmarks.growth.place import Place, Places
from benchmarks.growth.results import Growth
from benchmarks.growth.rounds import (
    Asked,
    Pair,
    counting_defaults,
    growth,
    length_of,
    measure,
)

NAME = "contexts"
SIZES, QUICK_SIZES = (1, 1_000, 10_000, 100_000, 1_000_000), (1, 10_000, 1_000_000)
ARMS, POLICY = ("context-arm-1", "context-arm-2"), "exp3"
RANDOM = "drawn at random"
# The bound that is tried out, and how many contexts are taught in spite of it.
BOUND, TAUGHT = 200, 500
BOUNDED = "contexts-bounded"
# From here on there are more contexts than copies: hardly any query finds one.
MISSING = 10_000
AT_MOST, MISSES_AT_MOST = 1.25, 2.0


def measure_it(session: Session, places: Places) -> Growth:
    place = places.alone()
    sizes = QUICK_SIZES if session.quick else SIZES
    place.publish(*ARMS)
    facts = _bound(place)
    for size in sizes:
        application = _application(place, name=f"{NAME}-{size}", most=max(SIZES))
        empty = place.redis.info("memory")["used_memory"]
        teaching.fill(place, application, count=size)
        full = place.redis.info("memory")["used_memory"]
        facts["bytes of Redis a context"] = (full - empty) / size
    place.look()
    teaching.settle(place)
    beside = _asked(place, size=1)
    pairs = [
        Pair(series=RANDOM, size=size, here=_asked(place, size=size), beside=beside)
        for size in sizes
    ]
    with counting_defaults(place) as defaults:
        series = measure(pairs, length=length_of(session), say=session.say)
    kept = teaching.known(place, f"{NAME}-{max(sizes)}")
    facts[f"of {max(sizes):,} contexts known afterwards"] = kept
    return growth(series, defaults=defaults, facts=facts)


def _application(place: Place, *, name: str, most: int) -> str:
    place.apply(name, *ARMS, policy=POLICY, max_contexts=most)
    place.wait_for(name, body=bodies.body().encode())
    return name


def _bound(place: Place) -> dict[str, float]:
    """Teach an application more contexts than it may know."""
    _application(place, name=BOUNDED, most=BOUND)
    names = [bodies.context_name(number) for number in range(TAUGHT)]
    teaching.teach(place, BOUNDED, contexts=names)
    number = teaching.application_id(place, context=names[-1], but=place.observed)
    place.observed[BOUNDED] = number
    return {f"contexts kept of {TAUGHT} taught, at most {BOUND}": teaching.known(place, BOUNDED)}


def _asked(place: Place, *, size: int) -> Asked:
    """Every round draws anew; all files are of one shape."""
    application = f"{NAME}-{size}"
    file = place.folder / f"{application}.txt"
    return Asked(
        place=place,
        application=application,
        bodies=lambda number: bodies.written(file, bodies.of_contexts(size, seed=number)),
        leaves_work=True,
    )


def claims(result: Growth) -> list[Claim]:
    series = result.named(RANDOM)
    missing, largest = series.at(MISSING), series.largest
    (bound,) = [seen for what, seen in result.facts.items() if what.startswith("contexts kept")]
    return [
        Claim(
            figure=NAME,
            what=f"CPU a query, {largest.size:,} contexts : {missing.size:,}, both missing copies",
            seen=largest.ratio / missing.ratio,
            at_most=AT_MOST,
        ),
        Claim(
            figure=NAME,
            what=f"CPU a query, {largest.size:,} contexts : 1, with what misses cost",
            seen=largest.ratio,
            at_most=MISSES_AT_MOST,
        ),
        Claim(
            figure=NAME,
            what=f"contexts kept of {TAUGHT} that were taught, at most {BOUND} allowed",
            seen=bound,
            at_least=BOUND,
            at_most=BOUND,
        ),
        judging.no_failures(NAME, result),
    ]


def draw(result: Growth) -> Figure:
    return drawing.draw(
        result,
        title="Contexts that have learned something",
        subtitle=f"{POLICY} with two arms; the context is drawn at random. "
        "Yardstick: a single context, in the same rounds.",
        of=NAME,
        bound=MISSES_AT_MOST,
    )


def table(result: Growth) -> Rows:
    return judging.table(result, of=NAME, redis=True)


CONTEXTS = Curve(
    name=NAME,
    title="How the cost of a query grows with the contexts that have learned something",
    result=Growth,
    measure=measure_it,
    claims=claims,
    draw=draw,
    table=table,
)
