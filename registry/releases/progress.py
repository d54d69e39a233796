"""Progress of releases and checks, in the words that REST, commands and console show.

The control worker writes it down while it moves them on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import cast

import redis

from core.redis.redis_client import redis_client
from registry.models import Release
from registry.releases.control import read_control


def what_it_waits_for(release: Release) -> str:
    """Return it in a line, "" for a release that has ended."""
    if not release.is_open:
        return ""
    try:
        problem = read_control().problem
    except redis.RedisError:
        problem = "Redis cannot be reached, so nothing moves on"
    return problem.rstrip(".") or release.progress or "its turn comes within a second"


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
