"""The scheduler's part in feedback: drain the stream into the database, one drain at a time."""

from __future__ import annotations

import logging

from celery import shared_task
from redis.exceptions import LockError

from registry.redis_client import redis_client
from selection.feedback import persist
from selection.storage import PERSIST_LOCK

# A drain that dies holding the lock delays the next one by so long.
LOCK_TTL_S = 30.0
# Then the next run goes on: no task runs without end while feedback keeps coming.
BATCHES_AT_ONCE = 200

logger = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def persist_feedback() -> int:
    """Move what waits in the stream into the database; return how many entries that was."""
    stream = redis_client()
    lock = stream.lock(PERSIST_LOCK, timeout=LOCK_TTL_S, blocking=False)
    moved = 0
    try:
        with lock:
            for _ in range(BATCHES_AT_ONCE):
                count = persist.persist_feedback(stream)
                if not count:
                    break
                moved += count
                lock.reacquire()
    except LockError:
        logger.info("feedback is being persisted elsewhere, or took longer than its lock")
    if moved:
        logger.info("feedback persisted entries=%d", moved)
    return moved
