"""This process's blocking Redis client: for notices, tasks and pages, never for a query."""

from __future__ import annotations

from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 2.0


@cache
def redis_client() -> redis.Redis:
    """Return the one client of this process.

    One retry at once replaces a connection that a restarted Redis has closed. More, with pauses
    in between, would only delay callers that try again by themselves or can do without.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), retries=1),
    )
