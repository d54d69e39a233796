"""The rhythms of the control worker: its jobs, and their intervals."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import redis
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings

from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from registry.releases.control import note_round
from selection.evaluation.monitoring.snapshots import STEP_S
from selection.feedback.persistence.drain import drain_feedback
from selection.feedback.rebuild.pruning import prune_old_feedback
from serving.capture.drain import drain_captured, prune_captured
from serving.cluster.beat import Beat
from serving.cluster.control.checks.check_task import check_version
from serving.cluster.control.reconciler import Reconciler
from serving.cluster.control.releases.retention import prune_old_versions
from serving.cluster.control.replays.replaying import advance_replays, give_way
from serving.cluster.control.rhythm import Rhythm
from serving.cluster.control.rollouts.judge import judge_rollouts
from serving.cluster.control.selection_snapshots import snapshot_selection, thin_selection_history
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.queues import CONTROL_QUEUE
from serving.cluster.replica.tasks import serve_replica
from serving.traffic.merging import merge_traffic, thin_traffic
from serving.traffic.release_records import note_releases_that_do_well

ROUND_LOCK = "clipper:lock:reconcile"

# A round that takes this long hangs.
ROUND_S = 60.0

_rhythms: list[Rhythm] = []
_round_ended_at = 0.0
# Makers of rhythms of rooms above this one.
_others: list[Callable[[], Iterable[Rhythm]]] = []


def add_rhythms(make: Callable[[], Iterable[Rhythm]]) -> None:
    """Have control workers run what this returns as well."""
    _others.append(make)


def reconcile() -> None:
    """Do one round, unless another is under way, and note it."""
    global _round_ended_at
    try:
        # Longer than a round takes; one that dies within it blocks the next this long.
        with exclusively(ROUND_LOCK, ttl_s=5.0) as lock:
            if lock is None:
                return
            try:
                _reconciler().run(now=time.monotonic())
            except Exception as error:
                with suppress(redis.RedisError):
                    note_round(redis_client(), error=f"{type(error).__name__}: {error}")
                raise
            note_round(redis_client(), slots=_reconciler().slots)
    finally:
        _round_ended_at = time.monotonic()


def start_replica(queued: ReplicaRecord) -> None:
    """Enqueue the task that becomes this replica."""
    args = (queued.id, queued.version_id)
    serve_replica.apply_async(args=args, queue=queued.queue, task_id=queued.id)


@cache
def _reconciler() -> Reconciler:
    return Reconciler(
        redis_client(),
        directory=own_directory(),
        start_replica=start_replica,
        begin_check=check_version.delay,
        most_checks=settings.CLIPPER_CHECKS_AT_ONCE,
    )


def new_rhythms() -> list[Rhythm]:
    """Return the rhythms of one control worker, not started yet."""
    return [
        Rhythm(reconcile, interval_s=1.0, name="reconcile"),
        Rhythm(judge_rollouts, interval_s=0.0, name="judge_rollouts"),
        Rhythm(advance_replays, interval_s=0.0, name="replay", prepare=give_way),
        Rhythm(drain_feedback, interval_s=1.0, name="persist_feedback"),
        Rhythm(snapshot_selection, interval_s=float(STEP_S), name="snapshot_selection"),
        Rhythm(thin_selection_history, interval_s=60.0, name="thin_history"),
        Rhythm(merge_traffic, interval_s=2.0, name="merge_traffic"),
        Rhythm(note_releases_that_do_well, interval_s=5.0, name="note_good_releases"),
        Rhythm(thin_traffic, interval_s=60.0, name="thin_traffic"),
        Rhythm(drain_captured, interval_s=1.0, name="keep_captured"),
        Rhythm(prune_captured, interval_s=10.0, name="prune_captured"),
        Rhythm(prune_old_feedback, interval_s=600.0, name="prune_feedback"),
        Rhythm(prune_old_versions, interval_s=600.0, name="prune_versions"),
        *(rhythm for make in _others for rhythm in make()),
    ]


@worker_ready.connect
def begin_rounds(sender: Any, **_: Any) -> None:
    """In the control worker, of all workers."""
    if CONTROL_QUEUE in sender.app.amqp.queues.consume_from:
        _rhythms.extend(new_rhythms())
        for rhythm in _rhythms:
            rhythm.start()
        if sender.hub is not None:
            _beat(sender.hub)


def _beat(hub: Any) -> None:
    """Show probes that this process consumes, and that its rounds end."""
    beat = Beat(settings.CLIPPER_RUN_DIR / "beat-control")
    beat.start()

    def turn() -> None:
        if time.monotonic() < _round_ended_at + ROUND_S:
            beat.turn()

    hub.call_repeatedly(1.0, turn)


@worker_shutting_down.connect
def stop_rounds(**_: Any) -> None:
    for rhythm in _rhythms:
        rhythm.stop()


@worker_shutdown.connect
def end_rounds(**_: Any) -> None:
    for rhythm in _rhythms:
        rhythm.join(within_s=5.0)
