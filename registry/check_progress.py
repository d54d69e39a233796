"""The progress of checks under way, as the control worker writes it into Redis.

Here, below the cluster, because versions tell of it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import cast

import redis

from core.redis.redis_client import redis_client

CHECKING_KEY = "clipper:checking:"
# What the key holds, unless it says what the check waits for.
QUEUED, RUNNING = "queued", "running"
TRYING_OUT = "being tried out"
WAITING = "waiting for another check"


def checking_key(check_id: int) -> str:
    """Held while a version is tried out; where its holder died it expires, and all starts anew."""
    return f"{CHECKING_KEY}{check_id}"


def progress_of(value: bytes) -> str:
    """Return in words what such a key holds."""
    text = value.decode(errors="replace")
    return TRYING_OUT if text in ("", QUEUED, RUNNING) else text


def read_progress(check_id: int) -> str:
    """Return what an open check does or waits for; "" while Redis is away."""
    with suppress(redis.RedisError):
        value = cast("bytes | None", redis_client().get(checking_key(check_id)))
        return WAITING if value is None else progress_of(value)
    return ""
