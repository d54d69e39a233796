"""Counts of the checks of versions on all hosts, passed and failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import redis
    import redis.asyncio

COUNTS_KEY = "clipper:check-counts"
PASSED, FAILED = "passed", "failed"


def count_check(client: redis.Redis, *, passed: bool) -> None:
    """Count one that has ended; raises redis.RedisError."""
    client.hincrby(COUNTS_KEY, PASSED if passed else FAILED, 1)


async def read_checks_async(client: redis.asyncio.Redis) -> dict[str, int]:
    """Return how many have passed, and failed."""
    counts = cast("dict[bytes, bytes]", await client.hgetall(COUNTS_KEY))
    return {outcome: int(counts.get(outcome.encode(), 0)) for outcome in (PASSED, FAILED)}
