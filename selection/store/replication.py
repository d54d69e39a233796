"""Waits until replicas of Redis have what was just written, so that a failover doesn't lose it."""

from typing import TypeVar

import redis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.client import Pipeline

from core.errors import Unavailable

AnyPipeline = TypeVar("AnyPipeline", AsyncPipeline, Pipeline)

# Replicas in step need a round trip; one that hasn't answered by then is away.
WAIT_MS = 1000
# Nobody listens to it.
CHANNEL = "clipper:replicated"


async def replicated(client: Redis, *, replicas: int) -> None:
    """Return once so many replicas have all that was written before. Raises `Unavailable`."""
    if replicas:
        async with client.pipeline(transaction=False) as pipe:
            _, reached = await _ask_replicas(pipe, replicas=replicas).execute()
        _check(int(reached), replicas=replicas)


def replicated_blocking(client: redis.Redis, *, replicas: int) -> None:
    """Do the same where waiting is allowed."""
    if replicas:
        with client.pipeline(transaction=False) as pipe:
            _, reached = _ask_replicas(pipe, replicas=replicas).execute()
        _check(int(reached), replicas=replicas)


def _ask_replicas(pipe: AnyPipeline, *, replicas: int) -> AnyPipeline:
    # WAIT speaks of what its own connection has last had copied, and nothing of the others'. What
    # is published is copied too, behind all that was written before.
    pipe.publish(CHANNEL, "")
    pipe.execute_command("WAIT", replicas, WAIT_MS)
    return pipe


def _check(reached: int, *, replicas: int) -> None:
    if reached < replicas:
        raise Unavailable(
            f"{reached} of {replicas} replicas of Redis have it, so that it could still be lost; "
            "send it again"
        )
