"""What a Celery worker does beside running tasks: prepare its forks, pass on its shutdown."""

from __future__ import annotations

import gc
import importlib
import logging
import time
from typing import Any

from billiard.process import current_process
from celery.signals import (
    beat_embedded_init,
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutting_down,
)
from celery.worker import state

from serving.cluster import endings
from serving.cluster.lifeline import Lifeline, die_with_parent
from serving.cluster.queues import REPLICA_QUEUES
from serving.cluster.watch import Slot, WatchTable

# Imported before the forks: their memory is shared, and a replica starts a second sooner.
PRELOADED = ("serving.cluster.replica", "serving.container.runtimes.sklearn")
WATCH_S = 1.0
EX_FAILURE = 1

logger = logging.getLogger(__name__)

_lifeline: Lifeline | None = None
_table: WatchTable | None = None


def lifeline() -> Lifeline:
    """The pipe from this process's worker to its forks; nobody else has one."""
    if _lifeline is None:
        raise RuntimeError("expected to run in a Celery worker")
    return _lifeline


def slot() -> Slot:
    """This fork's line in the table that its worker's main process watches."""
    if _table is None:
        raise RuntimeError("expected to run in a Celery worker")
    return _table.slot(getattr(current_process(), "index", 0))


@worker_init.connect
def prepare_forks(sender: Any, **_: Any) -> None:
    """In the worker's main process, before the first fork."""
    global _lifeline, _table
    _lifeline, _table = Lifeline(), WatchTable()
    queues = sender.app.amqp.queues.consume_from
    if any(name.startswith(REPLICA_QUEUES) for name in queues):
        _preload()


@worker_ready.connect
def watch_over_forks(sender: Any, **_: Any) -> None:
    """Look each second after the processes that this worker has forked."""
    if sender.hub is None:
        return
    if (maintain := getattr(sender.pool, "maintain_pool", None)) is not None:
        # The pool hears of a death when the fork's pipe closes, a moment before the process can be
        # waited for. Should it look within that moment it finds a living process, and by itself
        # looks again, and gives the slot to the next replica, up to five seconds later.
        sender.hub.call_repeatedly(WATCH_S, maintain)
        sender.hub.call_repeatedly(WATCH_S, _end_those_over_a_limit, sender.pool)
    if (scheduler := sender.controller.beat) is not None:
        sender.hub.call_repeatedly(WATCH_S, _end_without, scheduler)


@beat_embedded_init.connect
def tie_beat_to_worker(**_: Any) -> None:
    """In the process of the scheduler, a fork of the worker that `-B` starts."""
    # Unlike tie_to_worker, it has no end of the pipe to let go of: Celery has closed all that the
    # scheduler inherited, and the number may by now stand for a file of its own.
    die_with_parent(parent=lifeline().parent)


@worker_process_init.connect
def tie_to_worker(**_: Any) -> None:
    """In each forked process, those that replace earlier ones too."""
    die_with_parent(parent=lifeline().parent)
    lifeline().hold()
    slot().clear()


@worker_shutting_down.connect
def drain_replicas(**_: Any) -> None:
    """In the main process, inside its signal handler: replicas drain, then their tasks return."""
    lifeline().cut()


def _end_without(scheduler: Any) -> None:
    """Stop a worker whose scheduler died; the one that is started in its place has a new one."""
    if not scheduler.is_alive() and state.should_stop is None:
        logger.error("the scheduler died: stopping")
        state.should_stop = EX_FAILURE  # type: ignore[assignment]  # None or an exit code


def _end_those_over_a_limit(pool: Any) -> None:
    if _table is not None:
        for verdict in _table.verdicts(now=time.monotonic()):
            if verdict.record.pid in pool.info["processes"]:
                endings.end(verdict)


def _preload() -> None:
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            logger.info("not preloaded module=%s: %s", name, error)
    # What is alive now stays: no collection in a fork needs to touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
