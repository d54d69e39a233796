"""Reports of one replica on its model: errors in Redis, output in a file."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.cluster.failures.output_log import ReplicaLog
from serving.cluster.membership.records import ReplicaRecord
from serving.container.failures.recent_failures import Failure, RecentFailures

logger = logging.getLogger(__name__)


class Reports:
    """Passes on what was noted, each second, in a thread of its own: Redis may take its time."""

    def __init__(self, record: ReplicaRecord, *, errors: ErrorLog, log: ReplicaLog) -> None:
        self._record = record
        self._errors = errors
        self._log = log
        self._failures = RecentFailures()
        self._over = threading.Event()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While the block lasts output is caught and errors are passed on, at its end too."""
        thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._log.catch_output()
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._pass_on()

    def follow(self, failures: RecentFailures) -> None:
        """Pass on from now on what a loaded model's predictor notes."""
        self._failures = failures

    def not_loaded(self, failure: Failure) -> None:
        self._write([failure], phase=Phase.LOAD)

    def broken(self, failure: Failure) -> None:
        """Pass on why the model's process has ended, as this one is about to."""
        self._pass_on()
        self._write([failure], phase=Phase.SERVE)

    def _run(self) -> None:
        while not self._over.wait(1.0):
            self._log.rotate()
            self._pass_on()

    def _pass_on(self) -> None:
        self._write(self._failures.take(), phase=Phase.SERVE)

    def _write(self, failures: list[Failure], *, phase: Phase) -> None:
        version_id, replica = self._record.version_id, self._record.id
        try:
            self._errors.add(version_id, failures, phase=phase, replica=replica)
        except redis.RedisError as error:
            logger.warning("errors not passed on count=%d: %s", len(failures), error)
