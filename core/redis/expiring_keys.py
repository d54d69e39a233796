"""Keys in Redis that expire unless their owner lives, with an index of each kind.

Only Redis' own clock takes part: hosts whose clocks differ agree on who lives.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

import msgspec
import redis
import redis.asyncio
import redis.asyncio.client
import redis.client

Pipe = redis.client.Pipeline | redis.asyncio.client.Pipeline

Record = TypeVar("Record")

logger = logging.getLogger(__name__)

# In one step, so that no id is dropped that is written in between.
FORGET_SCRIPT = """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('EXISTS', ARGV[1] .. id) == 0 then redis.call('ZREM', KEYS[1], id) end
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringKeys:
    """One kind: the key of its index, and the prefix of its ids' keys."""

    index: str
    prefix: str

    def write(self, pipe: Pipe, key_id: str, *, text: bytes, ttl_s: float | None) -> None:
        """Write a key that lives for `ttl_s`; None: until it is removed."""
        pipe.set(self.prefix + key_id, text, px=None if ttl_s is None else int(ttl_s * 1000))
        pipe.zadd(self.index, {key_id: 0})

    def remove(self, pipe: Pipe, key_id: str) -> None:
        """Remove a key before it expires."""
        pipe.delete(self.prefix + key_id)
        pipe.zrem(self.index, key_id)

    def forget_gone(self, client: redis.Redis | Pipe) -> None:
        """Drop the ids from the index whose keys have expired."""
        client.eval(FORGET_SCRIPT, 1, self.index, self.prefix)

    def read(self, client: redis.Redis) -> list[bytes]:
        """Return the values of all living ids, in no order."""
        ids = cast("list[bytes]", client.zrange(self.index, 0, -1))
        return _there(client.mget(self._keys(ids)) if ids else [])

    async def read_async(self, client: redis.asyncio.Redis) -> list[bytes]:
        """Return what `read` does, without blocking."""
        ids = cast("list[bytes]", await client.zrange(self.index, 0, -1))
        return _there(await client.mget(self._keys(ids)) if ids else [])

    def _keys(self, ids: Iterable[bytes]) -> list[str]:
        return [self.prefix + key_id.decode() for key_id in ids]


def understood(
    texts: Iterable[bytes], *, decoder: msgspec.json.Decoder[Record], what: str
) -> Iterator[Record]:
    """Decode records; one that another release wrote in another shape is logged and left out."""
    for text in texts:
        try:
            yield decoder.decode(text)
        except msgspec.MsgspecError as error:
            logger.warning("%s not understood: %s", what, error)


def _there(texts: object) -> list[bytes]:
    return [text for text in cast("list[bytes | None]", texts) if text is not None]
