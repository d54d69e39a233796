"""Names of what selection keeps in Redis, and what it means when Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from registry.errors import Unavailable

GLOBAL_CONTEXT = ""

STREAM = "clipper:feedback"
REJECTED_STREAM = "clipper:feedback:rejected"
GROUP = "database"
PERSIST_LOCK = "clipper:feedback:lock"

# Fields of a state's hash: log-weight, feedback count and queries of an arm; last update.
WEIGHT, FEEDBACK, QUERIES, UPDATED = "w:", "n:", "q:", "t"

# A context that nobody asks or teaches for so long starts anew from the global one.
CONTEXT_TTL_S = 90 * 24 * 3600
# One that was only asked, never taught, holds nothing but counts, and goes much sooner.
UNTAUGHT_CONTEXT_TTL_S = 3600

# What redis-py raises when the server is gone, slow, loading, full or read-only.
REDIS_ERRORS = (RedisError, OSError)


def state_key(application_id: int, context: str) -> str:
    return f"clipper:selection:{application_id}:{context}"


def seen_key(nonce: bytes) -> str:
    return f"clipper:feedback:seen:{nonce.hex()}"


def outputs_key(nonce: bytes) -> str:
    return f"clipper:outputs:{nonce.hex()}"


@asynccontextmanager
async def redis_needed(*, timeout_s: float = 5.0) -> AsyncIterator[None]:
    """Turn a missing or slow Redis into the error that tells a caller to try again."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except REDIS_ERRORS as error:
        raise Unavailable("Redis does not answer; nothing was lost, send it again") from error
