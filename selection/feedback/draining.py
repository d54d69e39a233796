"""Control's part in feedback: drain the stream into the database, one drain at a time."""

from __future__ import annotations

import logging

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from core.loop.giving_way import GivingWay
from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from selection.feedback import persist
from selection.store.keys import PERSIST_LOCK

# A drain that dies holding the lock delays the next one by so long. A batch that takes longer ends
# the drain; were another one begun meanwhile, a row that both insert would still be one.
LOCK_TTL_S = 5.0
# Then the next run goes on: none is without end while feedback keeps coming.
BATCHES_AT_ONCE = 200
# After each piece, as long as others want the cores: a second's feedback is moved well within one.
PAUSE_S = 0.01

logger = logging.getLogger(__name__)


def drain_feedback() -> int:
    """Move what waits in the stream into the database; return how many entries that was."""
    with exclusively(PERSIST_LOCK, ttl_s=LOCK_TTL_S) as lock:
        if lock is None:
            logger.info("feedback is being persisted elsewhere")
            return 0
        moved = _drain(redis_client(), lock=lock)
    if moved:
        logger.info("feedback persisted entries=%d", moved)
    return moved


def _drain(stream: redis.Redis, *, lock: Lock) -> int:
    """Move batch after batch while there are some and the lock is ours."""
    moved = 0
    give_way = GivingWay(pause_s=PAUSE_S)
    for _ in range(BATCHES_AT_ONCE):
        count = persist.persist_feedback(stream, pause=give_way)
        if not count:
            break
        moved += count
        try:
            lock.reacquire()
        except LockError:
            break  # a batch took longer than the lock, which says so itself when it is let go
    return moved
