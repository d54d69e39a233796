"""A replica's heartbeat in the directory, by a thread of its own, however busy the model."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import redis

from core.log_once import LogOnce
from serving.cluster.membership.directory import HEARTBEAT_S, Directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState

logger = logging.getLogger(__name__)

Statistics = Callable[[], Mapping[str, Any]]


class GivenUp(Exception):
    """The worker is being stopped, or nobody wants this replica any more, before it has loaded."""


class Heartbeat:
    """Keeps one record alive and current until it is withdrawn, and hears requests to drain.

    Redis being away is no reason to end: the record is written again as soon as it is back.
    """

    def __init__(
        self,
        record: ReplicaRecord,
        *,
        directory: Directory,
        is_orphan: Callable[[], bool],
    ) -> None:
        self.record = record
        # Set once the replica is asked to drain.
        self.drain = threading.Event()
        self._directory = directory
        self._is_orphan = is_orphan
        self._statistics: Statistics = dict
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._unannounced = False
        self._log_once = LogOnce(
            logger,
            away=f"directory away replica={record.id}",
            back=f"directory back replica={record.id}",
        )
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def report(self, statistics: Statistics) -> None:
        """Merge the fields that `statistics` returns into each heartbeat."""
        self._statistics = statistics

    @contextmanager
    def preparing(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that tells the next heartbeats what is prepared, within the block.

        It raises GivenUp once nobody wants the replica.
        """

        latest = ""

        def tell(text: str) -> None:
            nonlocal latest
            if self.drain.is_set():
                raise GivenUp
            latest = text
            self.report(lambda: {"preparing": text})

        try:
            yield tell
        finally:
            if latest:
                self.report(dict)
                self.become(ReplicaState.LOADING, preparing="")

    def become(self, state: ReplicaState, **changes: Any) -> None:
        """Enter a state and tell everyone at once, or as soon as Redis is there."""
        with self._lock:
            self.record = msgspec.structs.replace(self.record, state=state, **changes)
            self._unannounced = True
            self._write()

    def withdraw(self) -> None:
        """Stop the heartbeat and remove the record; a failed one stays to be read, then expires.

        The heartbeat's thread doesn't use the directory from then on, so its client can be closed.
        """
        self._over.set()
        with self._lock:
            if self.record.state is ReplicaState.FAILED:
                return
            try:
                self._directory.remove([self.record.id])
            except redis.RedisError as error:
                logger.warning("record left to expire replica=%s: %s", self.record.id, error)

    def _run(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            with self._lock:
                # Withdrawn, or left behind as failed, while this thread waited for the lock.
                if self._over.is_set() or self.record.state is ReplicaState.FAILED:
                    return
                self._write()
                self._look_for_the_end()

    def _write(self) -> None:
        self.record = msgspec.structs.replace(
            self.record, heartbeat_at=time.time(), **self._statistics()
        )
        try:
            if self._unannounced or self._log_once.ongoing:
                self._directory.announce(self.record)
            else:
                self._directory.beat(self.record)
        except redis.RedisError as error:
            self._log_once.began(error)
        else:
            self._log_once.ended()
            self._unannounced = False

    def _look_for_the_end(self) -> None:
        if not self.drain.is_set() and (self._is_orphan() or self._is_asked_to_drain()):
            self.drain.set()

    def _is_asked_to_drain(self) -> bool:
        try:
            return bool(self._directory.asked_to_drain([self.record.id]))
        except redis.RedisError:
            return False
