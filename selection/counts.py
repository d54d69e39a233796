"""Counts queries by arm in memory and adds them to Redis now and then."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from selection.storage import CONTEXT_TTL_S, GLOBAL_CONTEXT, QUERIES, state_key

# Keys counted before a flush; further ones go uncounted until there is room again.
CAPACITY = 20_000
FLUSHED_AT_ONCE = 500

Asked = tuple[int, str, tuple[str, ...]]


class QueryCounts:
    """How often each set of arms was asked since the last flush. One owner flushes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._counted: dict[Asked, int] = {}
        self._flushing = asyncio.Lock()

    def add(self, *, application_id: int, context: str, arms: tuple[str, ...]) -> None:
        """Count one query. The tuple of a selection is shared by its queries: one look-up."""
        key = (application_id, context, arms)
        known = self._counted.get(key)
        if known is not None:
            self._counted[key] = known + 1
        elif len(self._counted) < CAPACITY:
            self._counted[key] = 1

    async def flush(self) -> None:
        """Add everything to Redis; what can't be added stays counted and the error is raised.

        Whoever reads after it finds what was counted before: it waits for a flush under way.
        """
        async with self._flushing:
            while self._counted:
                await self._flush_some()

    async def _flush_some(self) -> None:
        taken = dict(list(self._counted.items())[:FLUSHED_AT_ONCE])
        for key in taken:
            del self._counted[key]
        try:
            await self._write(taken)
        except BaseException:  # also a cancelled flush keeps its counts
            for key, count in taken.items():
                self._counted[key] = self._counted.get(key, 0) + count
            raise

    async def _write(self, counted: dict[Asked, int]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            for (application_id, context, arms), count in counted.items():
                key = state_key(application_id, context)
                for arm in arms:
                    pipe.hincrby(key, QUERIES + arm, count)
                if context != GLOBAL_CONTEXT:
                    pipe.expire(key, CONTEXT_TTL_S)
            await pipe.execute()
