"""Notices of the registry's changes: each says what changed, has a number and names the one before.

Numbers grow, also beyond the loss of all that Redis knew: one is at least the time in microseconds.
Whoever misses a notice finds out by the next one, which comes after another than it has heard of.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import redis
    import redis.asyncio

CHANGES_CHANNEL = "clipper:changes"
NUMBER_KEY = "clipper:change-number"

# What the prediction path knows of the registry, and what is waited for.
APPLICATION, MODEL, VERSION, KEY, RELEASE = "application", "model", "version", "key", "release"
# Beside them, what must not wait for a reading: a key that lets nobody in any more, and an
# application that isn't public.
REVOKED, PRIVATE = "revoked", "private"

# The ids of the rows that changed, by what they are.
Ids = Mapping[str, Set[int]]

# A Redis without room for another number still passes the notice on, with one that fits nowhere:
# who hears it looks at everything.
# KEYS  the number of the last notice
# ARGV  the channel, what changed
ANNOUNCE = """
local before = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local time = redis.call('TIME')
local number = string.format('%.0f', math.max(before + 1, time[1] * 1000000 + time[2]))
local kept = redis.pcall('SET', KEYS[1], number)
if kept.err then number = '0' end
redis.call('PUBLISH', ARGV[1], number .. ' ' .. string.format('%.0f', before) .. ' ' .. ARGV[2])
return tonumber(number)
"""

_decoder = msgspec.json.Decoder(dict[str, frozenset[int]])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNotice:
    """One commit: its number, that of the notice before it, and what it changed.

    What changed may be nothing that the prediction path knows of.
    """

    number: int
    after: int
    ids: Ids


def announce(client: redis.Redis, ids: Ids) -> None:
    """Tell everybody that these rows changed, under the next number. Raises RedisError."""
    told = msgspec.json.encode({kind: sorted(found) for kind, found in ids.items()})
    client.eval(ANNOUNCE, 1, NUMBER_KEY, CHANGES_CHANNEL, told)


def notice_in(message: bytes) -> ChangeNotice | None:
    """Return what a message of the channel says; None where another release wrote it."""
    try:
        number, after, told = message.split(b" ", 2)
        return ChangeNotice(number=int(number), after=int(after), ids=_decoder.decode(told))
    except (ValueError, msgspec.MsgspecError):
        return None


async def announced(client: redis.asyncio.Redis) -> int:
    """Return the number of the last notice; 0 where there was none that Redis knows of."""
    return int(await client.get(NUMBER_KEY) or 0)
