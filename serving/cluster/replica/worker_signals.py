"""Celery signals of a worker: prepare its forks, watch them, pass on its shutdown."""

import importlib
import logging
import os
import signal
import socket
import time
from contextlib import suppress
from typing import Any

import redis
from billiard.process import current_process
from billiard.util import get_pdeathsig  # type: ignore[attr-defined]  # its stubs lack it
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutting_down,
)
from django.conf import settings

from core.imports import uncollected
from core.redis.redis_client import redis_client
from serving.cluster.beat import Beat
from serving.cluster.failures.endings import count_failure, declare_failed, log_end
from serving.cluster.host import host_id
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.workers import WorkerRecord, worker_id
from serving.cluster.parent import Lifeline, die_with_parent
from serving.cluster.queues import REPLICA_QUEUES, queue_at
from serving.cluster.replica.announcement import Announcement
from serving.cluster.replica.watchdog import Slot, Violation, WatchTable
from serving.container.child.model_process import ForkServer
from serving.rpc.connection import remove_socket

# Imported before the forks: their memory is shared, and a replica starts a second sooner.
PRELOADED = ("serving.cluster.replica.replica_process",)
WATCH_S = 1.0

logger = logging.getLogger(__name__)

_lifeline: Lifeline | None = None
_table: WatchTable | None = None
_announced: list[Announcement] = []
_fork_server: ForkServer | None = None


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


def fork_server() -> ForkServer | None:
    """The process that forks those of this worker's models; None if it serves no replicas."""
    return _fork_server


@worker_init.connect
def prepare_forks(sender: Any, **_: Any) -> None:
    """In the worker's main process, before the first fork."""
    global _lifeline, _table
    _lifeline, _table = Lifeline(), WatchTable()
    if (queue := replica_queue(sender)) is not None:
        # Replicas that fail on other hosts are sent to this one by name.
        sender.app.amqp.queues.select_add(queue_at(queue, host_id=host_id()))
        preload()


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
        if (server := fork_server()) is not None:
            sender.hub.call_repeatedly(WATCH_S, server.start)
    if (queue := replica_queue(sender)) is not None:
        _say_that_it_lives(sender, queue=queue)


@worker_process_init.connect
def tie_to_worker(**_: Any) -> None:
    """In each forked process, those that replace earlier ones too."""
    die_with_parent(lifeline().parent)
    lifeline().cut()  # the end that the main process holds: children must not keep it open
    slot().clear()


@worker_shutting_down.connect
def drain_replicas(**_: Any) -> None:
    """In the main process, inside its signal handler: replicas drain, then their tasks return."""
    lifeline().cut()
    for announced in _announced:
        announced.withdraw()


def replica_queue(sender: Any) -> str | None:
    """The queue of replicas that this worker takes from, None where it takes from none."""
    queues = sender.app.amqp.queues.consume_from
    return next((name for name in sorted(queues) if name.startswith(REPLICA_QUEUES)), None)


def _say_that_it_lives(sender: Any, *, queue: str) -> None:
    """Write this worker down now and every second: releases tell what they wait for by it."""
    announced = Announcement(
        WorkerRecord(
            id=worker_id(os.getpid()),
            host=socket.gethostname(),
            host_id=host_id(),
            queue=queue,
            slots=sender.pool.limit,
        ),
        consumer=sender,
        client=redis_client(),
    )
    _announced.append(announced)
    beat = Beat(settings.CLIPPER_RUN_DIR / f"beat-{queue.removeprefix(REPLICA_QUEUES)}-worker")

    def renew() -> None:
        if announced.renew():
            beat.turn()

    # Nobody may find this worker ready before others can find its slots.
    renew()
    beat.start()
    sender.hub.call_repeatedly(WATCH_S, renew)


def _end_those_over_a_limit(pool: Any) -> None:
    if _table is not None:
        for violation in _table.violations(now=time.monotonic()):
            if violation.record.pid in pool.info["processes"]:
                _end_replica(violation)
        _table.end_leftovers()


def _end_replica(violation: Violation) -> None:
    """Kill a child of this process, whose id is its own until it is waited for, and say so."""
    record, reason, slot = violation
    logger.error("ending replica=%s pid=%d: %s", record.id, record.pid, reason)
    try:
        # First, so that nobody replaces it too soon.
        count_failure(record, reason=reason, lasting=record.state is not ReplicaState.LOADING)
        log_end(record, reason=reason)
    except redis.RedisError as error:
        logger.warning("failure not counted version=%d: %s", record.version_id, error)
    finally:
        os.kill(record.pid, signal.SIGKILL)
        slot.clear()
    if record.address:
        remove_socket(record.address)
    declare_failed(record, reason=reason)


def preload() -> None:
    """Start the fork server, and import what replicas need."""
    global _fork_server
    if _fork_server is None:
        _fork_server = ForkServer(imports_sklearn=settings.CLIPPER_PRELOAD_SKLEARN)
        _fork_server.start()
    with uncollected():
        for name in PRELOADED:
            importlib.import_module(name)
        with suppress(OSError):  # not on Linux
            # Each fork makes itself die with its parent in this way too, by a declaration in C: the
            # parser of those, which each would load for itself, takes 4 MB.
            get_pdeathsig()
