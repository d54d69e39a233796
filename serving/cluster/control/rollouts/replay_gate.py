"""The gate of a replay: a rollout waits until its version was asked captured queries again."""

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from core.errors import ClipperError
from registry.models import Application, Rollout
from registry.services import SYSTEM
from selection.evaluation.gates.gate import GateVerdict
from serving.capture.models import CapturedInput, TrafficReplay
from serving.capture.replay_sums import sums_in
from serving.capture.services import begin_replay
from serving.cluster.control.rollouts.ruling import Judged

REPLAY = "replay"
# The last so many captured queries of each application, of so long ago at most.
ROWS, LATELY = 1000, timedelta(days=30)


def judge_replays(
    rollout: Rollout, *, following: QuerySet[Application], alpha: float
) -> tuple[list[Judged], list[str]]:
    """Return the applications in which it was proved worse, and what the step still waits for."""
    judged: list[Judged] = []
    waits: list[str] = []
    replays = []
    for application in following:
        try:
            replays.append(_replay_of(rollout, application))
        except ClipperError as error:  # such as too many under way
            waits.append(f"replay in {application.name}: {error.message}")
    for replay in filter(None, replays):
        name, sums = replay.application.name, sums_in(replay.sums)
        gain = sums.gain(alpha=alpha)
        if gain is not None and gain.high < 0.0:
            words = f"replay in {name}: proved worse: {sums.words()}"
            action = rollout.plan.rule(REPLAY).action
            judged.append(Judged(REPLAY, name, GateVerdict.WORSE, action, words))
        elif replay.state != TrafficReplay.State.DONE:
            why = replay.error or f"{replay.done:,} of {replay.total:,} rows"
            waits.append(f"replay in {name} {replay.state}: {why}")
    if not any(replays) and not waits:
        waits.append("no application has captured queries to replay: set its capture_rate")
    return judged, waits


def _replay_of(rollout: Rollout, application: Application) -> TrafficReplay | None:
    """Return the replay since the rollout began, the first time a new one; None without rows.

    Raises what `begin_replay` does.
    """
    version = rollout.release.target
    replays = TrafficReplay.objects.filter(version=version, application=application)
    found = replays.filter(created_at__gte=rollout.created_at).select_related("application")
    if (newest := found.first()) is not None:
        return newest
    rows = CapturedInput.objects.filter(
        application=application, at__gte=timezone.now() - LATELY
    ).order_by("-at")
    times = list(rows.values_list("at", flat=True)[:ROWS])
    if not times:
        return None
    return begin_replay(application=application, version=version, by=SYSTEM, since=times[-1])
