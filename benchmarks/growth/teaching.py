"""Contexts that have learned something: one by feedback, any number as copies of what it left."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from benchmarks.growth import bodies
from benchmarks.growth.place import Place, PlaceFailed
from selection.store.keys import contexts_key, state_key

# Copies in one call of the script, for which Redis answers nobody else.
COPIED_AT_ONCE = 2_000
TAUGHT_AT_ONCE = 50
SETTLED_SECONDS, LOOK_AGAIN_SECONDS = 120.0, 0.2

# KEYS  the state that is copied, the application's sorted set of contexts
# ARGV  what a state's key begins with, what a name does, its digits, first and last number, now
COPY = """
for number = ARGV[4], ARGV[5] do
  local context = ARGV[2] .. string.format('%0' .. ARGV[3] .. 'd', number)
  redis.call('COPY', KEYS[1], ARGV[1] .. context)
  redis.call('ZADD', KEYS[2], ARGV[6], context)
end
"""


def teach(place: Place, application: str, *, contexts: Sequence[str]) -> None:
    """Ask for each of these contexts, and say that the answer was right."""
    for first in range(0, len(contexts), TAUGHT_AT_ONCE):
        receipts = [
            _receipt(place, application, context=one)
            for one in contexts[first : first + TAUGHT_AT_ONCE]
        ]
        items = [{"query_id": receipt, "label": 1} for receipt in receipts]
        answer = place.client.post(
            f"/api/v1/applications/{application}/feedback",
            content=msgspec.json.encode({"feedback": items}),
        )
        if answer.raise_for_status().json()["accepted"] != len(items):
            raise PlaceFailed(f"feedback was not accepted: {answer.text[:200]}")


def _receipt(place: Place, application: str, *, context: str) -> str:
    question = msgspec.json.encode({"input": [1.0] * bodies.NUMBERS, "context": context})
    answer = place.client.post(place.path(application), content=question)
    receipt: str = answer.raise_for_status().json()["query_id"]
    return receipt


def fill(place: Place, application: str, *, count: int) -> None:
    """Have the application know so many contexts, as if each had been taught once."""
    first = bodies.context_name(0)
    teach(place, application, contexts=[first])
    number = application_id(place, context=first, but=place.observed)
    place.observed[application] = number
    copying = place.redis.register_script(COPY)
    for begin in range(1, count, COPIED_AT_ONCE):
        copying(
            keys=[state_key(number, first), contexts_key(number)],
            args=[
                state_key(number, ""),
                first[: -bodies.CONTEXT_DIGITS],
                bodies.CONTEXT_DIGITS,
                begin,
                min(begin + COPIED_AT_ONCE, count) - 1,
                f"{time.time():.3f}",
            ],
        )
    if known(place, application) != count:
        raise PlaceFailed(f"{application} knows {known(place, application)} contexts, not {count}")


def application_id(place: Place, *, context: str, but: dict[str, int]) -> int:
    """Return the number under which selection keeps the application that was just taught."""
    pattern = contexts_key(0).replace("0", "*")
    found = {int(key.decode().rpartition(":")[2]) for key in place.redis.scan_iter(pattern)}
    (number,) = {
        one
        for one in found - set(but.values())
        if place.redis.zscore(contexts_key(one), context) is not None
    }
    return number


def known(place: Place, application: str) -> int:
    """Return how many contexts the application has learned something of."""
    return int(place.redis.zcard(contexts_key(place.observed[application])))


def settle(place: Place) -> None:
    """Return when Redis has made its file small again, which it does beside the queries."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while place.redis.info("persistence")["aof_rewrite_in_progress"]:
        if time.monotonic() > deadline:
            raise PlaceFailed("Redis has not ended rewriting its file")
        time.sleep(LOOK_AGAIN_SECONDS)
