"""Locks in Redis."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import LockError
from redis.lock import Lock

from core.redis.redis_client import redis_client

logger = logging.getLogger(__name__)


@contextmanager
def exclusively(name: str, *, ttl_s: float, wait_s: float = 0.0) -> Iterator[Lock | None]:
    """Yield the lock of this name, or None if another has it for `wait_s`; release it after.

    It expires after `ttl_s`; to keep it longer, reacquire it in time.
    """
    lock = redis_client().lock(name, timeout=ttl_s, blocking=False)
    held = lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s or None)
    try:
        yield lock if held else None
    finally:
        if held:
            try:
                lock.release()
            except LockError:
                logger.warning("lock outlived name=%s ttl_s=%.1f", name, ttl_s)
