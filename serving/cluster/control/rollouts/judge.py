"""Judge of rollouts: reads what web processes count, and takes each rollout on, back or nowhere.

Evidence is in Redis beside the stream that it was counted from, with the position up to which it
was: whatever is killed, each entry counts once.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import Any, cast

import msgspec
import redis
from django.db.models import QuerySet
from django.utils import timezone

from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from registry import services
from registry.models import Application, Rollout
from selection.evaluation.gates.two_rates import KNOWN, Counts
from selection.inference import ALPHA
from selection.models import Feedback
from serving.cluster.control.checks.tries import AWAY
from serving.cluster.control.rollouts.gate_evidence import (
    PARTS,
    RolloutEvidence,
    counts_of,
    others_of,
)
from serving.cluster.control.rollouts.memory_gate import MemoryGate
from serving.cluster.control.rollouts.replay_gate import judge_replays
from serving.cluster.control.rollouts.ruling import Look, RolloutMove, Ruling, rule_on
from serving.container.failures.container_errors import explain
from serving.metrics.rollout_rows import STREAM, StreamEntry, read_entry

EVIDENCE = "clipper:rollout:evidence:"
LOCK = "clipper:lock:rollouts"
# A rollout may take so long; what is known of one that has ended is in the database.
KEPT_S = 90 * 86_400
# How long to wait for the next entry, and between looks: many entries come at a time.
WAIT_MS, PAUSE_S = 500, 0.02
MOST_ENTRIES = 500
# How often the database learns what was found, unless that ends the rollout.
SHOWN_S = 1.0
LOST = "its evidence was lost with Redis: abort it, or go on, which begins to count anew"
RECENT_S = 7 * 86_400

State = Rollout.State
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RolloutEvidence).decode

logger = logging.getLogger(__name__)


def judge_rollouts() -> None:
    """Wait a moment for observations, then judge every open rollout."""
    with exclusively(LOCK, ttl_s=3.0) as lock:
        if lock is None:
            sleep(WAIT_MS / 1e3)
            return
        _judge.look()


class Judge:
    """Judges rollouts from look to look."""

    def __init__(self) -> None:
        self._label_gaps: dict[int, float | None] = {}
        # When the evidence of each was shown last, and what kept it from being judged.
        self._shown_at: dict[int, float] = {}
        self._faults: dict[int, str] = {}
        self._memory = MemoryGate()

    def look(self) -> None:
        rollouts = list(Rollout.objects.open().with_release())
        if not rollouts:
            sleep(WAIT_MS / 1e3)
            return
        client = redis_client()
        known = {rollout.pk: self._known(client, rollout) for rollout in rollouts}
        _take_new(client, known, rollouts)
        for rollout in rollouts:
            evidence = known[rollout.pk]
            try:
                if rollout.state != State.PLANNED:
                    self._judge(rollout, evidence)
                self._faults.pop(rollout.pk, None)
            except AWAY:
                raise
            except Exception as error:  # noqa: BLE001  (one must not keep the others)
                self._hold_unjudged(rollout, explain(error))
            # Judged or not: who stays behind in the stream keeps all others there.
            _keep(client, rollout, evidence)
        sleep(PAUSE_S)

    def _hold_unjudged(self, rollout: Rollout, fault: str) -> None:
        """Hold a rollout that can't be judged, and say why, until it can."""
        is_new = self._faults.get(rollout.pk) != fault
        if is_new:
            self._faults[rollout.pk] = fault
            logger.exception("rollout not judged rollout=%d", rollout.pk)
        if not rollout.paused and (is_new or rollout.state != State.HELD):
            services.hold_rollout(rollout, reason=f"it can't be judged: {fault}")

    def _known(self, client: redis.Redis, rollout: Rollout) -> RolloutEvidence:
        """Return the evidence so far; it begins with what is written from now on."""
        found = cast("bytes | None", client.get(f"{EVIDENCE}{rollout.pk}"))
        if found is not None:
            with suppress(msgspec.DecodeError):  # of another release, it is lost
                return _decode(found)
        following = list(_following(rollout).values_list("pk", flat=True))
        evidence = RolloutEvidence(
            _last_position(client),
            shares=max(1, len(following)),
            others=others_of(rollout.plan),
            known={key: _labels_before(key, rollout) for key in following},
        )
        _keep(client, rollout, evidence)
        if rollout.evidence.get("answers") and not rollout.paused:
            services.hold_rollout(rollout, reason=LOST, paused=True)
            rollout.refresh_from_db(fields=["state", "held_from", "paused", "reason"])
        return evidence

    def _judge(self, rollout: Rollout, evidence: RolloutEvidence) -> None:
        plan, now = rollout.plan, timezone.now()
        evidence.begin_step(f"{rollout.stage} {rollout.step}")
        names = dict(
            Application.objects.filter(pk__in=evidence.applications).values_list("pk", "name")
        )
        if rollout.pk not in self._label_gaps:
            self._label_gaps[rollout.pk] = _label_gap_s(rollout)
        gap_s = self._label_gaps[rollout.pk]
        needs_labels = plan.labels or gap_s is not None
        judged = evidence.judged(plan, names=names, needs_labels=needs_labels)
        evidence.memory, judged_memory = self._memory.judge(rollout, known=evidence.memory)
        judged.append(judged_memory)
        others: list[str] = []
        if plan.replay:
            alpha = ALPHA / PARTS / evidence.others / evidence.shares
            worse, others = judge_replays(rollout, following=_following(rollout), alpha=alpha)
            judged += worse
        begun = rollout.began_at or now
        since = max(rollout.step_at or begun, begun).timestamp()
        is_shadow = rollout.stage == State.SHADOW
        look = Look(
            plan=plan,
            is_shadow=is_shadow,
            step=rollout.step,
            is_held=rollout.state == State.HELD,
            is_paused=rollout.paused,
            in_step_s=now.timestamp() - since,
            exposed_s=(now - (rollout.exposed_at or now)).total_seconds(),
            answers=evidence.step_answers,
            judged=judged,
            faults=evidence.faults(
                plan,
                now=now.timestamp(),
                since=since,
                percent=rollout.percent,
                label_gap_s=gap_s if gap_s is not None else (0.0 if plan.labels else None),
            ),
            overruled=rollout.overruled,
            others=[*_approvals_missing(rollout), *others],
        )
        ruling = rule_on(look)
        evidence.note_history(now=now.timestamp())
        waits = ruling.reason if ruling.move == RolloutMove.STAY else ""
        summary = evidence.summary(judged, waits=waits, plan=plan, names=names)
        self._act(rollout, ruling, summary)

    def _act(self, rollout: Rollout, ruling: Ruling, summary: Mapping[str, Any]) -> None:
        reason = ruling.reason
        may_show = self._shown_at.get(rollout.pk, 0.0) + SHOWN_S <= monotonic()
        match ruling.move:
            case RolloutMove.ROLL_BACK:
                services.roll_back_rollout(rollout, reason=reason, evidence=summary)
            case RolloutMove.PROMOTE:
                services.promote_rollout(rollout, reason=reason, evidence=summary)
            case RolloutMove.ADVANCE:
                services.advance_rollout(rollout, now=timezone.now(), reason=reason)
            case RolloutMove.HOLD if rollout.state != State.HELD or (
                rollout.reason != reason and may_show
            ):
                services.hold_rollout(rollout, reason=reason)
            case RolloutMove.RESUME:
                services.resume_rollout(rollout)
        if rollout.state in Rollout.ENDED:  # not if a person has paused it meanwhile
            logger.warning("%s rollout=%d: %s", ruling.move, rollout.pk, reason)
        elif may_show:
            self._shown_at[rollout.pk] = monotonic()
            if summary != rollout.evidence:
                services.note_evidence(rollout, summary)


_judge = Judge()


def _last_position(client: redis.Redis) -> str:
    last = cast("list[tuple[bytes, Any]]", client.xrevrange(STREAM, count=1))
    return last[0][0].decode() if last else "0-0"


def _take_new(
    client: redis.Redis, known: Mapping[int, RolloutEvidence], rollouts: list[Rollout]
) -> None:
    """Count new entries of the stream; wait for one if there are none."""
    first = min((evidence.position for evidence in known.values()), key=_order)
    streams = cast(
        "list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]",
        client.xread({STREAM: first}, count=MOST_ENTRIES, block=WAIT_MS) or [],
    )
    for _, entries in streams:
        for position, fields in entries:
            text = position.decode()
            entry = _entry(fields)
            at = _order(text)[0] / 1e3
            for rollout in rollouts:
                evidence = known[rollout.pk]
                if _order(text) > _order(evidence.position):
                    evidence.take(entry, rollout_id=rollout.pk, plan=rollout.plan, at=at)
                    evidence.position = text


def _entry(fields: Mapping[bytes, bytes]) -> StreamEntry:
    try:
        return read_entry(fields[b"seen"])
    except (KeyError, msgspec.DecodeError):
        logger.warning("an entry of %s can't be read, and is left out", STREAM)
        return StreamEntry()


def _order(position: str) -> tuple[int, int]:
    at_ms, _, number = position.partition("-")
    return int(at_ms), int(number)


def _keep(client: redis.Redis, rollout: Rollout, evidence: RolloutEvidence) -> None:
    client.set(f"{EVIDENCE}{rollout.pk}", _encode(evidence), ex=KEPT_S)


def _approvals_missing(rollout: Rollout) -> list[str]:
    missing = services.approvals_of(rollout, of_next_step=True).missing
    return [f"{missing} more approvals"] if missing else []


def _following(rollout: Rollout) -> QuerySet[Application]:
    """Return the applications that ask the model's live version."""
    followers = Application.objects.filter(
        routes__model=rollout.model_id, routes__pinned_version=None
    )
    return followers.distinct()


def _labels_before(application_id: int, rollout: Rollout) -> Counts:
    """Sum the last labels of the live version in an application."""
    live = rollout.release.previous_arm
    rows = Feedback.objects.filter(application=application_id).order_by("-pk")
    losses = (
        arm["loss"]
        for arms in rows.values_list("arms", flat=True)[: 2 * int(KNOWN)]
        for arm in arms
        if arm["arm"] == live and arm.get("loss") is not None
    )
    return counts_of(losses)


def _label_gap_s(rollout: Rollout) -> float | None:
    """Return the mean seconds between labels of the applications in the week before; None: none."""
    begun = rollout.began_at or timezone.now()
    week = timedelta(seconds=RECENT_S)
    labels = Feedback.objects.filter(
        application__in=_following(rollout),
        received_at__range=(begun - week, begun),
    ).count()
    return RECENT_S / labels if labels else None
