"""Contexts that have learned something: one by feedback, the others as copies of what that left."""

import random
import time
from collections.abc import Sequence

import msgspec

from benchmarks.command import Failed
from benchmarks.experiment import Session
from benchmarks.frames import Frame, Record
from benchmarks.growth import stacks
from benchmarks.growth.curve import Asked, Groups, Pair, by_size
from benchmarks.linear import written
from benchmarks.servers import waited_for
from benchmarks.stack import Stack
from benchmarks.telling import Target
from selection.store.redis_keys import contexts_key, state_key

SIZES, QUICK_SIZES = (1, 1_000, 10_000, 100_000, 1_000_000), (1, 10_000, 1_000_000)
ARMS, POLICY = ("context-arm-1", "context-arm-2"), "exp3"
RANDOM = "drawn at random"
# More draws than a load asks: hardly any is repeated.
DRAWS = 30_000
# The bound that is tried out, and how many contexts are taught in spite of it.
BOUND, SEEDED, BOUNDED = 200, 500, "contexts-bounded"
# From here on there are more contexts than copies: hardly any query finds one.
MISSING = 10_000
# Copies in one call of the script, for which Redis answers nobody else.
COPIED_AT_ONCE, TAUGHT_AT_ONCE = 2_000, 50
SETTLED_SECONDS = 120.0

# KEYS  the state that is copied, the application's sorted set of contexts
# ARGV  what a state's key begins with, first and last number, now
COPY = """
for number = ARGV[2], ARGV[3] do
  local context = string.format('c%07d', number)
  redis.call('COPY', KEYS[1], ARGV[1] .. context)
  redis.call('ZADD', KEYS[2], ARGV[4], context)
end
"""


def context_name(number: int) -> str:
    """All are as long: what is asked of one context and of a million differs in nothing else."""
    return f"c{number:07d}"


def drawn(count: int, *, seed: int) -> list[str]:
    """Return questions of contexts that are drawn at random from so many."""
    draw = random.Random(seed)
    names = (context_name(draw.randrange(count)) for _ in range(DRAWS))
    return [stacks.question(context=name) for name in names]


def facts(session: Session) -> Record:
    """Teach an application more contexts than it may know; say how many it kept."""
    stack = stacks.alone(session)
    stacks.publish(stack, *ARMS)
    stacks.route(stack, BOUNDED, *ARMS, policy=POLICY, max_contexts=BOUND)
    teach(stack, BOUNDED, contexts=list(map(context_name, range(SEEDED))))
    return {"kept": known(stack, BOUNDED)}


def groups(session: Session, sizes: Sequence[int]) -> Groups:
    stack = stacks.alone(session)
    for size in sizes:
        name = f"contexts-{size}"
        stacks.route(stack, name, *ARMS, policy=POLICY, max_contexts=max(SIZES))
        fill(stack, name, count=size)
    # Redis makes its file small again, which it does beside the queries.
    waited_for(
        lambda: not stack.redis.info("persistence")["aof_rewrite_in_progress"],
        seconds=SETTLED_SECONDS,
        what="Redis to end rewriting its file",
    )
    asked = {size: _asked(stack, size=size) for size in {1, *sizes}}
    yield [Pair(series=RANDOM, size=size, here=asked[size], beside=asked[1]) for size in sizes]


def _asked(stack: Stack, *, size: int) -> Asked:
    """Every round draws anew; all files are of one shape."""
    file = stack.folder / f"contexts-{size}.txt"
    return Asked(
        stack=stack,
        application=f"contexts-{size}",
        bodies=lambda number: written(file, drawn(size, seed=number)),
        leaves_work=True,
    )


def teach(stack: Stack, application: str, *, contexts: Sequence[str]) -> None:
    """Ask for each of these contexts, and say that the answer was right."""
    for first in range(0, len(contexts), TAUGHT_AT_ONCE):
        items = []
        for context in contexts[first : first + TAUGHT_AT_ONCE]:
            body = msgspec.json.encode({"input": [1.0] * stacks.NUMBERS, "context": context})
            receipt = stack.predict(application, body=body)["query_id"]
            items.append({"query_id": receipt, "label": 1})
        path = f"applications/{application}/feedback"
        answer = stack.call("POST", path, json={"feedback": items})
        if answer["accepted"] != len(items):
            raise Failed(f"feedback was not accepted: {answer}")


def fill(stack: Stack, application: str, *, count: int) -> None:
    """Have the application know so many contexts, as if each had been taught once."""
    first = context_name(0)
    teach(stack, application, contexts=[first])
    number = _number(stack, application)
    keys = [state_key(number, first), contexts_key(number)]
    copying = stack.redis.register_script(COPY)
    for begin in range(1, count, COPIED_AT_ONCE):
        span = begin, min(begin + COPIED_AT_ONCE, count) - 1
        copying(keys=keys, args=[state_key(number, ""), *span, f"{time.time():.3f}"])
    if known(stack, application) != count:
        raise Failed(f"{application} knows {known(stack, application)} contexts, not {count}")


def known(stack: Stack, application: str) -> int:
    """Return how many contexts the application has learned something of."""
    return int(stack.redis.zcard(contexts_key(_number(stack, application))))


def _number(stack: Stack, application: str) -> int:
    return stack.in_database("SELECT id FROM registry_application WHERE name = ?", application)


def targets(result: Frame) -> list[Target]:
    found, kept = by_size(result, "ratio")[RANDOM], result["kept"].max()
    largest, missing = found.iloc[-1], found[MISSING]
    what = f"CPU a query, {int(found.index[-1]):,} contexts"
    bound = f"contexts kept of {SEEDED} that were taught, at most {BOUND} allowed"
    return [
        Target(f"{what} : {MISSING:,}, both missing copies", largest / missing, "≤ 1.25"),
        Target(f"{what} : 1, with what misses cost", largest, "≤ 2"),
        Target(bound, kept, f"= {BOUND}"),
    ]
