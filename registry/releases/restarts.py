"""Counts of replicas that ended unasked, by version and host, in Redis for a day."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import redis
import redis.asyncio

NOTED_KEY = "clipper:ended:"
COUNTS_KEY = "clipper:restarts:"
ENDINGS_KEY = "clipper:endings:"
RECENT_KEY = "clipper:restarts-lately:"

# In one step: an end that is noted is counted, and what is counted expires. A replica's end is
# noticed by its worker and by the reconciler, within seconds of each other.
NOTE_SCRIPT = """
local noted, counts, endings, recent = unpack(KEYS)
local host, ending = unpack(ARGV)
if not redis.call('SET', noted, 1, 'NX', 'EX', 600) then return end
redis.call('HINCRBY', counts, host, 1)
redis.call('LPUSH', endings, ending)
redis.call('LTRIM', endings, 0, 9)
redis.call('INCR', recent)
for key, seconds in pairs({[counts] = 86400, [endings] = 86400, [recent] = 600}) do
  if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, seconds) end
end
return 1
"""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """One replica's end."""

    host: str
    pid: int
    reason: str


class Restarts(msgspec.Struct, frozen=True, kw_only=True):
    """Ends of a version's replicas within a day, the latest first; `recent`: in ten minutes."""

    by_host: Mapping[str, int]
    last: tuple[Ending, ...]
    recent: int = 0

    @property
    def total(self) -> int:
        return sum(self.by_host.values())

    @property
    def is_loop(self) -> bool:
        """Say whether its replicas end again and again."""
        return self.recent >= 3


_decoder = msgspec.json.Decoder(Ending)


def note_ending(client: redis.Redis, ending: Ending, *, replica_id: str, version_id: int) -> bool:
    """Count a replica's end; return whether that is the first to notice it, who says why."""
    kept = msgspec.structs.replace(ending, reason=ending.reason[:500])
    counted = (f"{key}{version_id}" for key in (COUNTS_KEY, ENDINGS_KEY, RECENT_KEY))
    keys = (NOTED_KEY + replica_id, *counted)
    new = client.eval(NOTE_SCRIPT, len(keys), *keys, ending.host, msgspec.json.encode(kept))
    return bool(new)


def read_restarts(client: redis.Redis, version_ids: Iterable[int]) -> dict[int, Restarts]:
    """Return the restarts of those of these versions that had any."""
    ids = list(version_ids)
    with client.pipeline(transaction=False) as pipe:
        return _by_version(ids, _asked(pipe, ids).execute())


async def read_restarts_async(
    client: redis.asyncio.Redis, version_ids: Iterable[int]
) -> dict[int, Restarts]:
    """Return what `read_restarts` does, without blocking."""
    ids = list(version_ids)
    async with client.pipeline(transaction=False) as pipe:
        return _by_version(ids, await _asked(pipe, ids).execute())


def _asked(pipe: Any, ids: Iterable[int]) -> Any:
    for version_id in ids:
        pipe.hgetall(f"{COUNTS_KEY}{version_id}")
        pipe.lrange(f"{ENDINGS_KEY}{version_id}", 0, -1)
        pipe.get(f"{RECENT_KEY}{version_id}")
    return pipe


def _by_version(ids: Sequence[int], found: Sequence[Any]) -> dict[int, Restarts]:
    read = zip(ids, found[::3], found[1::3], found[2::3], strict=True)
    return {
        version_id: Restarts(
            by_host={host.decode(): int(count) for host, count in counts.items()},
            last=tuple(map(_decoder.decode, texts)),
            recent=int(recent or 0),
        )
        for version_id, counts, texts, recent in read
        if counts
    }
