"""Blocking Redis client of a process: for notices, tasks and pages, never for a query."""

from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 2.0


@cache
def redis_client() -> redis.Redis:
    """Return the client of this process; one retry replaces a connection that Redis closed."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), retries=1),
    )
