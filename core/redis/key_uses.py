"""Uses of API keys: counted in each process, written to Redis once a minute and key at most."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from time import time
from typing import Any, NamedTuple

import redis
from redis.asyncio import Redis

from core.specs import ApiKeySpec

# A hash of the last uses, and before `:` and a minute's number one of its counts.
USES = "clipper:key-uses"
MINUTE_S = 60


class KeyUse(NamedTuple):
    """The last use of a key, None for never, and its requests a second in the last minute."""

    at: datetime | None = None
    rate: float = 0.0


class KeyUses:
    """Counts the uses of keys in one process; there are no more keys than the registry has."""

    def __init__(self) -> None:
        self._counts = Counter[int]()
        self._known = set[int]()
        self._due = 0.0

    def count(self, key: ApiKeySpec | None) -> None:
        """Note a request that came with this key."""
        if key is not None:
            self._counts[key.id] += 1

    async def keep(self, client: Redis, *, at: float) -> None:
        """Write what was counted: once a minute, and soon when a key is used for the first time."""
        if not self._counts or (at < self._due and self._counts.keys() <= self._known):
            return
        counts, self._counts, self._due = self._counts, Counter(), at + MINUTE_S
        self._known.update(counts)
        minute = f"{USES}:{int(at) // MINUTE_S}"
        async with client.pipeline(transaction=False) as pipe:
            pipe.hset(USES, mapping=dict.fromkeys(map(str, counts), at))
            for key, number in counts.items():
                pipe.hincrby(minute, str(key), number)
            pipe.expire(minute, 5 * MINUTE_S)
            await pipe.execute()


_noted = dict[int, float]()


def note_use(client: redis.Redis, key: int) -> None:
    """Write that a key is in use, once a minute; a Redis that is away stops nothing."""
    if (now := time()) > _noted.get(key, 0.0) + MINUTE_S:
        _noted[key] = now
        with suppress(redis.RedisError):
            client.hset(USES, str(key), str(now))


def read_key_uses(client: redis.Redis) -> dict[int, KeyUse]:
    """Return the last use and the rate of each key that was used."""
    last: Any = client.hgetall(USES)
    counts: Any = client.hgetall(f"{USES}:{int(time()) // MINUTE_S - 1}")
    return {
        int(key): KeyUse(datetime.fromtimestamp(float(at), UTC), int(counts.get(key, 0)) / MINUTE_S)
        for key, at in last.items()
    }
