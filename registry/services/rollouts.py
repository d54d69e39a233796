"""Rollouts: planned with a release, moved, held, and ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from core.errors import BadRequest, Conflict
from core.specs import MODEL
from registry.following.recording import record_changes, registry_write
from registry.models import AuditEntry, Model, Release, Rollout
from registry.models.rollouts.rollout_plans import RolloutPlan, definition_of
from registry.services.actor import SYSTEM, Actor
from registry.services.audit_trail import record_done
from registry.services.row_writes import locked

State = Rollout.State
ENDS_HEDGE = 50.0
NOTHING_ROUTED: Mapping[str, Any] = {
    **{"rollout_id": None, "canary_version": None},
    **{"canary_share": 0.0, "canary_hedged": False, "shadow_share": 0.0},
}


def plan_rollout(*, release: Release, plan: RolloutPlan, name: str) -> Rollout:
    """Insert the rollout of a new release, in its transaction. Raises Conflict."""
    if release.previous_version_id is None:
        raise Conflict(
            f"{release.model_name} has no live version yet that {release.arm} could be compared "
            "with: deploy the first one at once.",
            model=release.model_name,
        )
    return Rollout.objects.create(
        release=release, model=release.model, plan_name=name, definition=definition_of(plan)
    )


@registry_write
def hold_rollout(
    rollout: Rollout, *, reason: str, by: Actor = SYSTEM, paused: bool = False
) -> Rollout:
    """Keep it at its share of queries. Raises Conflict if it has ended, or hasn't begun."""
    current = _changeable(rollout)
    if current.state == State.PLANNED:
        raise Conflict(f"The {current} has not begun yet: abort it instead.")
    was = (current.state, current.paused)
    if current.state != State.HELD:
        current.held_from, current.state = current.state, State.HELD
    current.reason, current.paused = reason, current.paused or paused
    current.save(update_fields=["state", "held_from", "reason", "paused"])
    if was != (current.state, current.paused):
        _record(current, by=by, before=was[0], reason=reason)
    return current


def pause_rollout(rollout: Rollout, *, by: Actor, reason: str = "") -> Rollout:
    """Hold it because a person says so."""
    return hold_rollout(rollout, reason=reason or f"paused by {by.label}", by=by, paused=True)


@registry_write
def resume_rollout(rollout: Rollout, *, by: Actor = SYSTEM, reason: str = "") -> Rollout:
    """Let a held rollout go on. If a person says so, gates that hold it are overruled."""
    current = _changeable(rollout)
    if current.state != State.HELD:
        raise Conflict(f"The {current} is not held: it is {current.state}.")
    if by is SYSTEM and current.paused:  # meanwhile, by a person
        return current
    if by is not SYSTEM:
        holding = {gate["gate"] for gate in current.gates if gate["verdict"] == "worse"}
        current.overruled = sorted({*current.overruled, *holding})
    current.state, current.held_from, current.paused = current.held_from, "", False
    current.reason = ""
    current.save(update_fields=["state", "held_from", "paused", "reason", "overruled"])
    _record(current, by=by, before=State.HELD, reason=reason)
    return current


def note_evidence(rollout: Rollout, evidence: Mapping[str, Any]) -> None:
    """Write down what its gates have found so far."""
    Rollout.objects.filter(pk=rollout.pk).update(evidence=evidence)
    rollout.evidence = dict(evidence)


def end_rollout(
    rollout: Rollout, *, state: str, reason: str, by: Actor, evidence: Mapping[str, Any] | None
) -> Rollout | None:
    """End it, within its release's transaction; None if it has ended already."""
    current = open_rollout(rollout)
    if current is None:
        return None
    before = words_of(current)
    current.state, current.reason, current.ended_at = state, reason, timezone.now()
    current.paused = False
    if evidence is not None:
        current.evidence = dict(evidence)
    current.save()
    _route(current)
    _record(current, by=by, before=before, reason=reason)
    return current


def end_rollouts(
    releases: QuerySet[Release], *, reason: str, by: Actor = SYSTEM, state: str = State.ABORTED
) -> None:
    """End the open rollouts of releases that are superseded or fail, within their transaction."""
    for rollout in Rollout.objects.open().filter(release__in=releases).with_release():
        end_rollout(rollout, state=state, reason=reason, by=by, evidence=None)


def words_of(rollout: Rollout) -> str:
    """Return its state with its share of queries."""
    state = rollout.get_state_display()
    return f"{state} at {rollout.percent:g} %" if rollout.stage == State.CANARY else str(state)


def needs_reason(reason: str) -> None:
    """Raises BadRequest for none."""
    if not reason.strip():
        raise BadRequest("reason: Expected why, got nothing.", fields=["reason"])


def open_rollout(rollout: Rollout) -> Rollout | None:
    """Return the row as it is now, with its model locked; None if it has ended."""
    if rollout.model is not None:
        locked(rollout.model)
    current = Rollout.objects.with_release().filter(pk=rollout.pk).first()
    return current if current is not None and current.is_open else None


def _changeable(rollout: Rollout) -> Rollout:
    current = open_rollout(rollout)
    if current is None:
        rollout.refresh_from_db()
        raise Conflict(f"The {rollout} has ended: it was {rollout.get_state_display()}.")
    return current


def move_rollout(
    rollout: Rollout, *, to: str, now: datetime, step: int = 0, reason: str = ""
) -> None:
    """Take a locked rollout to a state and step, and have it be asked its share."""
    before = words_of(rollout)
    rollout.state, rollout.step, rollout.step_at, rollout.reason = to, step, now, ""
    if to == State.CANARY and rollout.exposed_at is None:
        rollout.exposed_at = now
    rollout.save()
    _route(rollout)
    _record(rollout, by=SYSTEM, before=before, reason=reason)


def _route(rollout: Rollout) -> None:
    """Have web processes send it its share of queries."""
    routed, plan = dict(NOTHING_ROUTED), rollout.plan
    if rollout.is_open and rollout.state != State.PLANNED:
        percent = rollout.percent
        routed |= {
            "rollout_id": rollout.pk,
            "canary_version": rollout.release.version_id,
            "canary_share": percent / 100.0,
            "canary_hedged": plan.hedged and percent < ENDS_HEDGE,
            "shadow_share": 0.0 if percent else plan.shadow_percent / 100.0,
        }
    if rollout.model_id is not None:
        Model.objects.filter(pk=rollout.model_id).update(**routed)
        record_changes(MODEL, [rollout.model_id])


def _record(rollout: Rollout, *, by: Actor, before: str, reason: str) -> None:
    if rollout.model is not None:
        changes = {f"rollout of {rollout.release.arm}": [str(before), words_of(rollout)]}
        action = AuditEntry.Action.ROLL_OUT
        record_done(rollout.model, by=by, action=action, changes=changes, reason=reason)
