"""A worker among the others: says each second that it lives, and retires when it is asked to."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import redis

from core.log_once import LogOnce
from serving.cluster.membership.workers import (
    WorkerRecord,
    announce_worker,
    is_asked_to_retire,
    take_back_request,
    withdraw_worker,
)
from serving.cluster.queues import queue_at

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)


class Announcement:
    """One worker's record, kept up in its main process as long as it takes replicas.

    While somebody asks it to retire it takes from no queue. What it has taken already starts: the
    control worker moves that as well.
    """

    def __init__(self, record: WorkerRecord, *, consumer: Any, client: Redis) -> None:
        self.record = record
        self._consumer = consumer
        self._redis = client
        self._is_leaving = False
        # A container that starts again may have the same process ids: one that has retired shortly
        # before was another worker.
        self._has_begun = False
        self._log_once = LogOnce(logger, away="worker not announced", back="worker announced again")

    def renew(self) -> bool:
        """Write the record, and return whether Redis has it."""
        if self._is_leaving:
            return True
        try:
            self._begin()
            self._heed(is_asked_to_retire(self._redis, self.record.id))
            announce_worker(self._redis, self.record)
        except redis.RedisError as error:
            self._log_once.began(error)
            return False
        self._log_once.ended()
        return True

    def withdraw(self) -> None:
        """Remove the record: the worker is being stopped."""
        self._is_leaving = True
        with suppress(redis.RedisError):  # it expires by itself
            withdraw_worker(self._redis, self.record)

    def _begin(self) -> None:
        if not self._has_begun:
            take_back_request(self._redis, self.record.id)
            self._has_begun = True

    def _heed(self, retiring: bool) -> None:
        """Take from the queues or don't, if that changes."""
        if retiring == self.record.retiring:
            return
        logger.info("%s worker=%s", "retires" if retiring else "is back", self.record.id)
        queue, host_id = self.record.queue, self.record.host_id
        for name in (queue, queue_at(queue, host_id=host_id)):
            if retiring:
                self._consumer.cancel_task_queue(name)
            else:
                self._consumer.add_task_queue(name)
        self.record = msgspec.structs.replace(self.record, retiring=retiring)
