"""What the hosts of a cluster fetched of artifacts: counted in Redis, by host, for a day.

A day after a host's last fetch its count begins anew.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import redis

from core.redis.expiring_keys import FORGET_SCRIPT

if TYPE_CHECKING:
    import redis.asyncio

FETCHES_KEY = "clipper:fetches:"
HOSTS_KEY = "clipper:fetching-hosts"
KEPT_S = 86_400

logger = logging.getLogger(__name__)


class FetchCounts:
    """Counts what the processes of one host fetch; where Redis is away that is lost."""

    def __init__(self, client: redis.Redis, *, host: str = "") -> None:
        self._redis = client
        self._host = host or socket.gethostname()

    def note(self, *, kept_bytes: int | None = None, **counted: int) -> None:
        """Add to COUNTERS of this host; `kept_bytes` is what its copies take now."""
        key = FETCHES_KEY + self._host
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                for name, number in counted.items():
                    pipe.hincrby(key, name, number)
                if kept_bytes is not None:
                    pipe.hset(key, "kept_bytes", str(kept_bytes))
                pipe.expire(key, KEPT_S)
                pipe.zadd(HOSTS_KEY, {self._host: 0})
                pipe.eval(FORGET_SCRIPT, 1, HOSTS_KEY, FETCHES_KEY)
                pipe.execute()
        except redis.RedisError as error:
            logger.warning("fetches not counted: %s", error)


async def read_fetches_async(client: redis.asyncio.Redis) -> dict[str, Mapping[str, int]]:
    """Return, by host, the counters that it has."""
    hosts = [host.decode() for host in cast("list[bytes]", await client.zrange(HOSTS_KEY, 0, -1))]
    async with client.pipeline(transaction=False) as pipe:
        for host in hosts:
            pipe.hgetall(FETCHES_KEY + host)
        found = cast("list[dict[bytes, bytes]]", await pipe.execute())
    return {
        host: {name.decode(): int(number) for name, number in counted.items()}
        for host, counted in zip(hosts, found, strict=True)
        if counted
    }
