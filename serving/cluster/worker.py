"""What a Celery worker does beside running tasks: prepare its forks, pass on its shutdown."""

from __future__ import annotations

import gc
import importlib
import logging
from typing import Any

from celery.signals import (
    beat_embedded_init,
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutting_down,
)
from celery.worker import state

from serving.cluster.lifeline import Lifeline, die_with_parent

# Imported before the forks: their memory is shared, and a replica starts a second sooner.
PRELOADED = ("serving.cluster.replica", "serving.container.runtimes.sklearn")
REPLICA_QUEUES = "replicas."
WATCH_S = 1.0
EX_FAILURE = 1

logger = logging.getLogger(__name__)

_lifeline: Lifeline | None = None


def lifeline() -> Lifeline | None:
    """The pipe from this process's worker; None where it was not forked by one."""
    return _lifeline


def is_shutting_down() -> bool:
    """Whether this process's worker has been told to stop, or is gone."""
    return _lifeline is not None and _lifeline.is_cut


@worker_init.connect
def prepare_forks(sender: Any, **_: Any) -> None:
    """In the worker's main process, before the first fork."""
    global _lifeline
    _lifeline = Lifeline()
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
    if (scheduler := sender.controller.beat) is not None:
        sender.hub.call_repeatedly(WATCH_S, _end_without, scheduler)


@beat_embedded_init.connect
def tie_beat_to_worker(**_: Any) -> None:
    """In the process of the scheduler, a fork of the worker that `-B` starts."""
    if _lifeline is not None:
        die_with_parent(parent=_lifeline.parent)


@worker_process_init.connect
def tie_to_worker(**_: Any) -> None:
    """In each forked process, those that replace earlier ones too."""
    if _lifeline is None:
        return
    die_with_parent(parent=_lifeline.parent)
    _lifeline.hold()


@worker_shutting_down.connect
def drain_replicas(**_: Any) -> None:
    """In the main process, inside its signal handler: replicas drain, then their tasks return."""
    if _lifeline is not None:
        _lifeline.cut()


def _end_without(scheduler: Any) -> None:
    """Stop a worker whose scheduler died; the one that is started in its place has a new one."""
    if not scheduler.is_alive() and state.should_stop is None:
        logger.error("the scheduler died: stopping")
        state.should_stop = EX_FAILURE  # type: ignore[assignment]  # None or an exit code


def _preload() -> None:
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            logger.info("not preloaded module=%s: %s", name, error)
    # What is alive now stays: no collection in a fork needs to touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
