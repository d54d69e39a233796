"""Counts of vain tries: after a few the release or check has failed."""

import redis
from django.db import InterfaceError, OperationalError

# Errors that say nothing of what is tried: the database or Redis is away, or busy.
AWAY = (OperationalError, InterfaceError, redis.RedisError)
TRIES_KEY = "clipper:release-tries:"
MOST_TRIES = 3


class Tries:
    """Counted in Redis before each try, so that one that ends its process counts as well."""

    def __init__(self, client: redis.Redis, *, of: str) -> None:
        """`of` names the kind of thing that is tried."""
        self._redis = client
        self._prefix = f"{TRIES_KEY}{of}:"

    def count(self, number: int) -> int:
        """Count one more, and return how many there were."""
        key = f"{self._prefix}{number}"
        with self._redis.pipeline() as pipe:
            pipe.incr(key)
            pipe.expire(key, 3600)
            count, _ = pipe.execute()
        return int(count)

    def forget(self, number: int) -> None:
        """Forget the tries: it went well, or the failure says nothing of it."""
        self._redis.delete(f"{self._prefix}{number}")
