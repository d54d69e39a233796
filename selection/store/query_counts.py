"""Counts queries by arm in memory and adds them to Redis now and then."""

from __future__ import annotations

import asyncio
from itertools import islice
from time import time

from redis.asyncio import Redis

from selection.store.keys import GLOBAL_CONTEXT, UNTAUGHT_CONTEXT_TTL_S, contexts_key, state_key
from selection.store.scripts import Script, ScriptCall

# KEYS  state, contexts, state of all contexts (the same key in the global context)
# ARGV  context ('' for the global one), TTL of a state with feedback, TTL of one without, now,
# queries
#       to add to each arm, then the arms.
# Contexts are whatever callers name: only feedback makes one worth keeping for long.
SCRIPT = Script("""
for i = 6, #ARGV do
  redis.call('HINCRBY', KEYS[1], QUERIES .. ARGV[i], ARGV[5])
  if KEYS[3] ~= KEYS[1] then
    redis.call('HINCRBY', KEYS[3], QUERIES .. ARGV[i], ARGV[5])
  end
end
if ARGV[1] ~= '' then
  if redis.call('HEXISTS', KEYS[1], UPDATED) == 1 then
    redis.call('EXPIRE', KEYS[1], ARGV[2] + EXPIRY_MARGIN_S)
    redis.call('ZADD', KEYS[2], 'GT', ARGV[4], ARGV[1])
  elseif redis.call('TTL', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
  end
end
""")

# Keys counted before a flush; further ones go uncounted until there is room again.
CAPACITY = 20_000
FLUSHED_AT_ONCE = 500

# Application, seconds that its contexts are kept, context, arms.
Asked = tuple[int, int, str, tuple[str, ...]]


class QueryCounts:
    """How often each set of arms was asked since the last flush. One owner flushes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._counted: dict[Asked, int] = {}
        self._flushing = asyncio.Lock()

    def add(
        self, *, application_id: int, context_ttl_s: int, context: str, arms: tuple[str, ...]
    ) -> None:
        """Count one query. The tuple of a selection is shared by its queries: one look-up."""
        self._add((application_id, context_ttl_s, context, arms), 1)

    def _add(self, key: Asked, count: int) -> None:
        known = self._counted.get(key)
        if known is not None:
            self._counted[key] = known + count
        elif len(self._counted) < CAPACITY:
            self._counted[key] = count

    async def flush(self) -> None:
        """Add everything to Redis; what can't be added stays counted and the error is raised.

        Whoever reads after it finds what was counted before: it waits for a flush under way.
        What is counted meanwhile is left to the next one, or none would end under load.
        """
        async with self._flushing:
            taken, self._counted = self._counted, {}
            try:
                while taken:
                    some = list(islice(taken.items(), FLUSHED_AT_ONCE))
                    await SCRIPT.run(self._redis, [_call(key, count) for key, count in some])
                    for key, _ in some:
                        del taken[key]
            except BaseException:  # also a cancelled flush keeps its counts
                later, self._counted = self._counted, taken
                for key, count in later.items():
                    self._add(key, count)
                raise


def _call(asked: Asked, count: int) -> ScriptCall:
    application_id, context_ttl_s, context, arms = asked
    untaught_ttl_s = min(context_ttl_s, UNTAUGHT_CONTEXT_TTL_S)
    return ScriptCall(
        keys=[
            state_key(application_id, context),
            contexts_key(application_id),
            state_key(application_id, GLOBAL_CONTEXT),
        ],
        arguments=[context, context_ttl_s, untaught_ttl_s, f"{time():.3f}", count, *arms],
    )
