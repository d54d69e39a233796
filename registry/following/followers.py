"""The change number up to which each process follows the registry."""

import asyncio
from contextlib import suppress
from time import monotonic

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.redis.expiring_keys import ExpiringKeys

FOLLOWERS = ExpiringKeys(index="clipper:followers", prefix="clipper:follower:")
# A process writes its number each second; a dead one is waited for no longer than this.
TTL_S = 5.0


async def note_followed(client: Redis, process: str, *, number: int) -> None:
    """Write that this process lives and follows all changes up to this number."""
    async with client.pipeline(transaction=True) as pipe:
        FOLLOWERS.write(pipe, process, text=str(number).encode(), ttl_s=TTL_S)
        FOLLOWERS.forget_gone(pipe)
        await pipe.execute()


async def leave_followers(client: Redis, process: str) -> None:
    """Remove a process that answers no more."""
    async with client.pipeline(transaction=True) as pipe:
        FOLLOWERS.remove(pipe, process)
        await pipe.execute()


async def everyone_followed(client: Redis, number: int, *, timeout_s: float = 1.0) -> bool:
    """Wait until all follow up to this number; False after `timeout_s` or without Redis."""
    deadline = monotonic() + timeout_s
    with suppress(TimeoutError, RedisError, OSError):
        async with asyncio.timeout(timeout_s):
            # Redis has no word for a number that grew, and few wait for long.
            while any(int(text) < number for text in await FOLLOWERS.read_async(client)):
                # Before Python 3.12 the client of Redis may forget that the time is over.
                if monotonic() > deadline:
                    return False
                await asyncio.sleep(0.01)
            return True
    return False
