"""What an open release waits for: one truth for REST, commands and console.

The control worker writes it down while it moves the release on. Where none does, that is what the
release waits for, whatever was written last.
"""

from __future__ import annotations

import redis

from registry.control import read_control
from registry.models import Release


def what_it_waits_for(release: Release) -> str:
    """Return it in a line, "" for a release that has ended."""
    if not release.is_open:
        return ""
    try:
        problem = read_control().problem
    except redis.RedisError:
        problem = "Redis cannot be reached, so nothing moves on"
    return problem.rstrip(".") or release.progress or "its turn comes within a second"
