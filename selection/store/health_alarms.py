"""Alarms of experiments' health in Redis, where /metrics reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import redis
    import redis.asyncio

KEY = "clipper:health"

# By application and check, whether it alarms.
Alarms = Mapping[str, Mapping[str, bool]]

_decode = msgspec.json.Decoder(dict[str, dict[str, bool]]).decode


def publish_alarms(client: redis.Redis, alarms: Alarms) -> None:
    """Publish those of all applications; raises redis.RedisError."""
    # Alarms expire if nobody looks any more.
    client.set(KEY, msgspec.json.encode(alarms), ex=60)


async def read_alarms_async(client: redis.asyncio.Redis) -> Alarms:
    """Return what was published last; nothing where that is long ago."""
    text = await client.get(KEY)
    return {} if text is None else _decode(text)
