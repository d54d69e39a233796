"""Progress of releases and checks in words."""

from contextlib import suppress
from typing import cast

import redis

from core.redis.redis_client import redis_client
from registry.models import Release
from registry.releases.control import read_control


def what_it_waits_for(release: Release) -> str:
    """Return a release's progress in a line, "" if it has ended."""
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
    """Return the key that a running check holds, which expires with its holder."""
    return f"{CHECKING_KEY}{check_id}"


def progress_of(value: bytes) -> str:
    """Return such a key's value in words."""
    text = value.decode(errors="replace")
    return TRYING_OUT if text in ("", QUEUED, RUNNING) else text


def read_progress(check_id: int) -> str:
    """Return the progress of an open check, "" without Redis."""
    with suppress(redis.RedisError):
        value = cast("bytes | None", redis_client().get(checking_key(check_id)))
        return WAITING if value is None else progress_of(value)
    return ""
