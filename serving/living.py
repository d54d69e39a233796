"""Who is alive, by keys in Redis that expire: no clock of any host takes part.

Each kind has an index, a sorted set of ids (its scores say nothing), as nobody should search the
whole of Redis. An id is dropped from it only when its key is gone by Redis's own expiry: hosts
whose clocks differ agree on who lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import redis
    import redis.asyncio

# In one step, so that nobody is dropped who writes himself down in between.
FORGET_SCRIPT = """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('EXISTS', ARGV[1] .. id) == 0 then redis.call('ZREM', KEYS[1], id) end
end
"""


def forget_gone(client: redis.Redis, *, index: str, prefix: str) -> None:
    """Drop the ids from the index whose keys have expired."""
    client.eval(FORGET_SCRIPT, 1, index, prefix)


def read_living(client: redis.Redis, *, index: str, prefix: str) -> list[bytes]:
    """Return what is written at the keys of all ids that live, in no order."""
    ids = cast("list[bytes]", client.zrange(index, 0, -1))
    texts = client.mget(_keys(ids, prefix=prefix)) if ids else []
    return [text for text in cast("list[bytes | None]", texts) if text is not None]


async def read_living_async(client: redis.asyncio.Redis, *, index: str, prefix: str) -> list[bytes]:
    """Return what `read_living` does, without blocking."""
    ids = cast("list[bytes]", await client.zrange(index, 0, -1))
    texts = await client.mget(_keys(ids, prefix=prefix)) if ids else []
    return [text for text in cast("list[bytes | None]", texts) if text is not None]


def _keys(ids: Iterable[bytes], *, prefix: str) -> list[str]:
    return [prefix + one.decode() for one in ids]
