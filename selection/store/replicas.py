"""Waits until replicas of Redis have what was just written, so that a failover doesn't lose it."""

from __future__ import annotations

import redis
from redis.asyncio import Redis

from registry.errors import Unavailable

# Replicas in step need a round trip; one that hasn't answered by then is away.
WAIT_MS = 1000


async def replicated(client: Redis, *, replicas: int) -> None:
    """Return once so many replicas have all that was written before; with 0 at once.

    Raises `Unavailable` where too few do, and errors of Redis.
    """
    if replicas:
        async with client.pipeline(transaction=False) as pipe:
            # WAIT speaks of what its own connection has seen, which PING brings up to date.
            pipe.ping()
            pipe.execute_command("WAIT", replicas, WAIT_MS)
            _, reached = await pipe.execute()
        _check(int(reached), replicas=replicas)


def replicated_blocking(client: redis.Redis, *, replicas: int) -> None:
    """Do the same where waiting is allowed."""
    if replicas:
        with client.pipeline(transaction=False) as pipe:
            pipe.ping()
            pipe.execute_command("WAIT", replicas, WAIT_MS)
            _, reached = pipe.execute()
        _check(int(reached), replicas=replicas)


def _check(reached: int, *, replicas: int) -> None:
    if reached < replicas:
        raise Unavailable(
            f"{reached} of {replicas} replicas of Redis have it, so that it could still be lost; "
            "send it again"
        )
