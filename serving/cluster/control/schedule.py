"""What the control worker does of itself, and how often: its rhythms."""

from __future__ import annotations

from selection.evaluation.monitoring.downsampling import STEP_S
from selection.feedback.tasks import persist_feedback
from serving.cluster.control.rhythm import Rhythm
from serving.cluster.control.snapshots import snapshot_selection, thin_selection_history
from serving.cluster.tasks import reconcile

THIN_INTERVAL_S = 60.0


def new_rhythms() -> list[Rhythm]:
    """Return the rhythms of one control worker, not started yet.

    Several workers may have them: of each job only one is at it at a time.
    """
    return [
        Rhythm(reconcile, interval_s=1.0, name="reconcile"),
        Rhythm(persist_feedback, interval_s=1.0, name="persist_feedback"),
        Rhythm(snapshot_selection, interval_s=float(STEP_S), name="snapshot_selection"),
        Rhythm(thin_selection_history, interval_s=THIN_INTERVAL_S, name="thin_history"),
    ]
