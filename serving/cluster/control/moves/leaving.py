"""A worker that gets SIGTERM lets its replicas move to other workers before it ends."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from celery.signals import worker_ready
from django.conf import settings

from core.redis.redis_client import redis_client
from registry.releases.control import read_control
from serving.cluster.control.moves.retirement import Retirement, RetirementFailed
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.views import read_views
from serving.cluster.membership.workers import worker_id
from serving.cluster.replica.worker_signals import replica_queue

logger = logging.getLogger(__name__)


@worker_ready.connect
def move_replicas_first(sender: Any, **_: Any) -> None:
    """In the main process of a worker for replicas; by now Celery handles the signal."""
    if replica_queue(sender) is None:
        return
    end: Any = signal.getsignal(signal.SIGTERM)
    leaving = Leaving(end, within_s=settings.CLIPPER_RETIRE_S)
    signal.signal(signal.SIGTERM, leaving.on_signal)


class Leaving:
    """Handles SIGTERM: the first one begins to move the replicas, the second one calls `end`.

    The moves send the second one themselves when they are done, or have failed or taken too long.
    They have a thread of their own, as a signal may come while this one holds a lock.
    """

    def __init__(self, end: Callable[..., object], *, within_s: float) -> None:
        self._end = end
        self._within_s = within_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._move, name="leaving", daemon=True)

    def on_signal(self, *signal_and_frame: Any) -> None:
        if self._within_s and self._thread.ident is None:
            self._thread.start()
        else:
            self._over.set()
            self._end(*signal_and_frame)

    def _move(self) -> None:
        try:
            if _has_something_to_move():
                self._follow()
        except (RetirementFailed, redis.RedisError) as error:
            logger.warning("replicas are not moved but drained: %s", error)
        if not self._over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def _follow(self) -> None:
        deadline = time.monotonic() + self._within_s

        def wait(seconds: float) -> None:
            if self._over.wait(seconds):
                raise RetirementFailed("the worker has to end at once")
            if time.monotonic() > deadline:
                raise RetirementFailed(f"they have not all moved within {self._within_s:g} s")

        retirement = Retirement(
            client=redis_client(),
            directory=own_directory(),
            worker=worker_id(os.getpid()),
            lives=lambda: True,
            other_within_s=0.0,
            wait=wait,
        )
        for line in retirement.run():
            logger.info("leaving: %s", line)


def _has_something_to_move() -> bool:
    """Return whether web processes ask replicas of this worker and control could move them."""
    client, own = redis_client(), worker_id(os.getpid())
    has_any = any(r.worker == own and r.holds_slot for r in own_directory().read())
    return has_any and bool(read_views(client)) and not read_control(client).problem
