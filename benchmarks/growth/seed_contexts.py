"""Contexts that have learned something: one by feedback, any number as copies of what it left."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from benchmarks.command import Failed
from benchmarks.growth import bodies
from benchmarks.servers import waited_for
from benchmarks.stack import Stack
from selection.store.keys import contexts_key, state_key

# Copies in one call of the script, for which Redis answers nobody else.
COPIED_AT_ONCE = 2_000
TAUGHT_AT_ONCE = 50
SETTLED_SECONDS = 120.0

# KEYS  the state that is copied, the application's sorted set of contexts
# ARGV  what a state's key begins with, what a name does, its digits, first and last number, now
COPY = """
for number = ARGV[4], ARGV[5] do
  local context = ARGV[2] .. string.format('%0' .. ARGV[3] .. 'd', number)
  redis.call('COPY', KEYS[1], ARGV[1] .. context)
  redis.call('ZADD', KEYS[2], ARGV[6], context)
end
"""


def teach(stack: Stack, application: str, *, contexts: Sequence[str]) -> None:
    """Ask for each of these contexts, and say that the answer was right."""
    path = f"/api/v1/applications/{application}/feedback"
    for first in range(0, len(contexts), TAUGHT_AT_ONCE):
        receipts = [
            _receipt(stack, application, context=context)
            for context in contexts[first : first + TAUGHT_AT_ONCE]
        ]
        items = [{"query_id": receipt, "label": 1} for receipt in receipts]
        answer = stack.client.post(path, content=msgspec.json.encode({"feedback": items}))
        if answer.raise_for_status().json()["accepted"] != len(items):
            raise Failed(f"feedback was not accepted: {answer.text[:200]}")


def _receipt(stack: Stack, application: str, *, context: str) -> str:
    question = msgspec.json.encode({"input": [1.0] * bodies.NUMBERS, "context": context})
    receipt: str = stack.predict(application, body=question)["query_id"]
    return receipt


def fill(stack: Stack, application: str, *, count: int) -> None:
    """Have the application know so many contexts, as if each had been taught once."""
    first = bodies.context_name(0)
    teach(stack, application, contexts=[first])
    number = _number(stack, application)
    copying = stack.redis.register_script(COPY)
    for begin in range(1, count, COPIED_AT_ONCE):
        names = first[: -bodies.CONTEXT_DIGITS], bodies.CONTEXT_DIGITS
        span = begin, min(begin + COPIED_AT_ONCE, count) - 1
        copying(
            keys=[state_key(number, first), contexts_key(number)],
            args=[state_key(number, ""), *names, *span, f"{time.time():.3f}"],
        )
    if known(stack, application) != count:
        raise Failed(f"{application} knows {known(stack, application)} contexts, not {count}")


def known(stack: Stack, application: str) -> int:
    """Return how many contexts the application has learned something of."""
    return int(stack.redis.zcard(contexts_key(_number(stack, application))))


def _number(stack: Stack, application: str) -> int:
    """Return the number under which selection keeps the application."""
    return stack.in_database("SELECT id FROM registry_application WHERE name = ?", application)


def settle(stack: Stack) -> None:
    """Return when Redis has made its file small again, which it does beside the queries."""
    waited_for(
        lambda: not stack.redis.info("persistence")["aof_rewrite_in_progress"],
        seconds=SETTLED_SECONDS,
        what="Redis to end rewriting its file",
    )
