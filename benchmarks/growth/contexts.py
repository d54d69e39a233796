"""Contexts: from 1 to a million that have learned something, the query's drawn at random.

Web processes keep copies of the states of some thousand contexts and read them again when they are
older than 0.2 s, behind the query. A context that has no copy here is answered from what is known
of all, and read for the next time: that is a miss, and all that grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.experiment import Session
from benchmarks.growth import bodies, seed_contexts, stacks
from benchmarks.growth.results import Growth
from benchmarks.growth.rounds import Asked, Pair, growth
from benchmarks.stack import Stack
from benchmarks.targets import Target, at_most, exactly

SIZES, QUICK_SIZES = (1, 1_000, 10_000, 100_000, 1_000_000), (1, 10_000, 1_000_000)
ARMS, POLICY = ("context-arm-1", "context-arm-2"), "exp3"
RANDOM = "drawn at random"
# The bound that is tried out, and how many contexts are taught in spite of it.
BOUND, SEEDED = 200, 500
BOUNDED = "contexts-bounded"
KEPT = f"contexts kept of {SEEDED} taught, at most {BOUND}"
# From here on there are more contexts than copies: hardly any query finds one.
MISSING = 10_000
AT_MOST, MISSES_AT_MOST = 1.25, 2.0


def measure(session: Session, sizes: Sequence[int]) -> Growth:
    facts = _bounded(stacks.alone(session))
    return growth(_groups(session, sizes, facts=facts), session=session, facts=facts)


def _bounded(stack: Stack) -> dict[str, float]:
    """Teach an application more contexts than it may know; say how many it kept."""
    stacks.publish(stack, *ARMS)
    _route(stack, BOUNDED, most=BOUND)
    names = [bodies.context_name(number) for number in range(SEEDED)]
    seed_contexts.teach(stack, BOUNDED, contexts=names)
    return {KEPT: seed_contexts.known(stack, BOUNDED)}


def _groups(
    session: Session, sizes: Sequence[int], *, facts: dict[str, float]
) -> Iterator[Sequence[Pair]]:
    stack = stacks.alone(session)
    for size in sizes:
        _route(stack, f"contexts-{size}", most=max(SIZES))
        empty = stack.redis.info("memory")["used_memory"]
        seed_contexts.fill(stack, f"contexts-{size}", count=size)
        full = stack.redis.info("memory")["used_memory"]
        facts["bytes of Redis a context"] = (full - empty) / size
    seed_contexts.settle(stack)
    beside = _asked(stack, size=1)
    yield [
        Pair(series=RANDOM, size=size, here=_asked(stack, size=size), beside=beside)
        for size in sizes
    ]
    known = seed_contexts.known(stack, f"contexts-{max(sizes)}")
    facts[f"of {max(sizes):,} contexts known afterwards"] = known


def _route(stack: Stack, application: str, *, most: int) -> None:
    stacks.route(stack, application, *ARMS, policy=POLICY, max_contexts=most)


def _asked(stack: Stack, *, size: int) -> Asked:
    """Every round draws anew; all files are of one shape."""
    file = stack.folder / f"contexts-{size}.txt"
    return Asked(
        stack=stack,
        application=f"contexts-{size}",
        bodies=lambda number: bodies.written(file, bodies.of_contexts(size, seed=number)),
        leaves_work=True,
    )


def targets(result: Growth) -> list[Target]:
    series = result.named(RANDOM)
    missing, largest = series.at(MISSING), series.largest
    what = f"CPU a query, {largest.size:,} contexts"
    return [
        at_most(
            f"{what} : {missing.size:,}, both missing copies",
            largest.ratio / missing.ratio,
            AT_MOST,
        ),
        at_most(f"{what} : 1, with what misses cost", largest.ratio, MISSES_AT_MOST),
        exactly(
            f"contexts kept of {SEEDED} that were taught, at most {BOUND} allowed",
            result.facts[KEPT],
            BOUND,
        ),
    ]
