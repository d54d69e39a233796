"""The rhythms of the control worker: its jobs, and their intervals."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from selection.evaluation.monitoring.snapshots import STEP_S
from selection.feedback.persistence.drain import drain_feedback
from selection.feedback.rebuild.pruning import prune_old_feedback
from serving.cluster.control.rhythm import Rhythm
from serving.cluster.control.selection_snapshots import snapshot_selection, thin_selection_history
from serving.cluster.control.tasks import reconcile
from serving.cluster.queues import CONTROL_QUEUE

THIN_INTERVAL_S = 60.0
PRUNE_INTERVAL_S = 600.0
# Time for the jobs under way to end when the worker is stopped.
ROUNDS_END_WITHIN_S = 5.0

_rhythms: list[Rhythm] = []


def new_rhythms() -> list[Rhythm]:
    """Return the rhythms of one control worker, not started yet.

    Several workers may have them: of each job only one is at it at a time.
    """
    return [
        Rhythm(reconcile, interval_s=1.0, name="reconcile"),
        Rhythm(drain_feedback, interval_s=1.0, name="persist_feedback"),
        Rhythm(snapshot_selection, interval_s=float(STEP_S), name="snapshot_selection"),
        Rhythm(thin_selection_history, interval_s=THIN_INTERVAL_S, name="thin_history"),
        Rhythm(prune_old_feedback, interval_s=PRUNE_INTERVAL_S, name="prune_feedback"),
    ]


@worker_ready.connect
def begin_rounds(sender: Any, **_: Any) -> None:
    """In the control worker, of all workers."""
    if CONTROL_QUEUE in sender.app.amqp.queues.consume_from:
        _rhythms.extend(new_rhythms())
        for rhythm in _rhythms:
            rhythm.start()


@worker_shutting_down.connect
def stop_rounds(**_: Any) -> None:
    for rhythm in _rhythms:
        rhythm.stop()


@worker_shutdown.connect
def end_rounds(**_: Any) -> None:
    for rhythm in _rhythms:
        rhythm.join(within_s=ROUNDS_END_WITHIN_S)
