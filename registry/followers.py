"""Who answers queries, and up to which notice each of them follows the registry.

Whoever has changed something waits here until that holds for every query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from core.changes import announced
from core.redis.expiring_keys import ExpiringKeys

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

# Each process that answers queries: an index of their ids, and up to which number each follows.
FOLLOWERS = ExpiringKeys(index="clipper:followers", prefix="clipper:follower:")
FOLLOWED_CHANNEL = "clipper:followed"
# Written with the first of them: where it is missing, Redis has lost who there is. Until each has
# had the time to say again that it lives, nobody knows whether these are all.
KNOWN_KEY, RETURNING_KEY = "clipper:followers-known", "clipper:followers-returning"
# A process says it anew more often than that; one that died is waited for no longer.
TTL_S = 5.0
# They say it each second.
RETURN_WITHIN_S = 1.5
# How long a change may take to reach every process: who waits goes on afterwards.
FOLLOWED_WITHIN_S = 1.0
# KEYS  of those who are known, of those who are returning
# ARGV  for how many milliseconds they are
NOTE_KNOWN = """
if redis.call('SET', KEYS[1], '1', 'NX') then redis.call('SET', KEYS[2], '1', 'PX', ARGV[1]) end
"""
# Each of those who wait holds two connections.
MOST_WATCHING = 8
# Whoever is waited for may have died: it is looked at who lives.
LOOK_S = 0.25


# Whether the process with this id has died.
IsGone = Callable[[str], Awaitable[bool]]


async def note_followed(client: Redis, process: str, *, number: int) -> None:
    """Say that this process follows all that was announced up to this number, and that it lives."""
    async with client.pipeline(transaction=True) as pipe:
        FOLLOWERS.write(pipe, process, text=str(number).encode(), ttl_s=TTL_S)
        FOLLOWERS.forget_gone(pipe)
        pipe.eval(NOTE_KNOWN, 2, KNOWN_KEY, RETURNING_KEY, int(RETURN_WITHIN_S * 1000))
        pipe.publish(FOLLOWED_CHANNEL, number)
        await pipe.execute()


async def leave_followers(client: Redis, process: str) -> None:
    """This process answers no more: nobody has to wait for it."""
    async with client.pipeline(transaction=True) as pipe:
        FOLLOWERS.remove(pipe, process)
        pipe.publish(FOLLOWED_CHANNEL, 0)
        await pipe.execute()


async def _unknown(process: str, /) -> bool:
    return False


class Followers:
    """Those who answer queries, as one process that changes the registry sees them.

    `is_gone` says whether a process has died, as far as is known here: nobody waits for it then.
    """

    def __init__(self, client: Redis, *, is_gone: IsGone = _unknown) -> None:
        self._client = client
        self._is_gone = is_gone
        self._places = asyncio.Semaphore(MOST_WATCHING)
        # Whether there ever was one: a console alone has nobody to wait for.
        self._seen = False

    async def everyone_followed(self, *, timeout_s: float = FOLLOWED_WITHIN_S) -> bool:
        """Wait until all processes that answer queries follow what has been announced by now.

        Returns False after `timeout_s`, or at once where Redis can't be asked.
        """
        with suppress(TimeoutError, RedisError, OSError):
            async with asyncio.timeout(timeout_s):
                wanted = await announced(self._client)
                if not await self._all_follow(wanted):
                    async with self._places:
                        await self._watch(wanted)
                return True
        return False

    async def _watch(self, wanted: int) -> None:
        async with self._client.pubsub(ignore_subscribe_messages=True) as followed:
            await followed.subscribe(FOLLOWED_CHANNEL)
            # What this returns for is the subscription: nothing goes unheard from here on.
            await followed.get_message(timeout=LOOK_S)
            while not await self._all_follow(wanted):
                await self._forget_gone(wanted)
                await _heard(followed, wanted=wanted)

    async def _all_follow(self, wanted: int) -> bool:
        numbers = await FOLLOWERS.read_async(self._client)
        if self._seen and not await self._all_known():
            return False
        self._seen = self._seen or bool(numbers)
        return all(int(number) >= wanted for number in numbers)

    async def _forget_gone(self, wanted: int) -> None:
        for process, number in (await FOLLOWERS.read_by_id(self._client)).items():
            if int(number) < wanted and await self._is_gone(process):
                await leave_followers(self._client, process)

    async def _all_known(self) -> bool:
        """Whether those who are written down are all: Redis may just have lost everything."""
        known, returning = await self._client.mget(KNOWN_KEY, RETURNING_KEY)
        return known is not None and returning is None


async def _heard(followed: PubSub, *, wanted: int) -> None:
    """Wait until one more process may have followed, or died."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            while True:
                message = await followed.get_message(timeout=LOOK_S)
                # One that leaves says 0.
                if message is not None and not 0 < int(message["data"]) < wanted:
                    return
