"""Ends of rollouts, with their releases: promoted, rolled back, aborted."""

from collections.abc import Mapping
from typing import Any

from core.errors import Conflict
from registry.following.recording import registry_write
from registry.models import Release, Rollout
from registry.services.actor import SYSTEM, Actor
from registry.services.approvals import check_approved
from registry.services.deployment import fail, fails_by_signature, go_live
from registry.services.rollouts import State, end_rollout, needs_reason, open_rollout

Evidence = Mapping[str, Any] | None


@registry_write
def promote_rollout(
    rollout: Rollout,
    *,
    reason: str,
    by: Actor = SYSTEM,
    evidence: Evidence = None,
    bypass: bool = False,
) -> Rollout:
    """Give the version to everybody. Raises Conflict if it has ended, or isn't running yet.

    So it does without the approvals that are wanted, unless a superuser says `bypass`.
    """
    needs_reason(reason)
    current = open_rollout(rollout)
    if current is not None:
        if by is SYSTEM and current.state == State.HELD:  # meanwhile, by a person
            return rollout
        check_approved(current, by=by, bypass=bypass, reason=reason)
        if current.state == State.PLANNED:
            raise Conflict(f"The {rollout} has not begun: its replicas are not ready yet.")
        if fails_by_signature(current.release):  # which ends the rollout, too
            rollout.refresh_from_db()
            return rollout
    go_live(_ended(rollout, State.PROMOTED, reason=reason, by=by, evidence=evidence))
    return rollout


@registry_write
def roll_back_rollout(rollout: Rollout, *, reason: str, evidence: Evidence = None) -> Rollout:
    """Take the version back because a gate has proved it worse."""
    release = _ended(rollout, State.ROLLED_BACK, reason=reason, by=SYSTEM, evidence=evidence)
    fail(release, error=reason)
    return rollout


@registry_write
def abort_rollout(rollout: Rollout, *, reason: str, by: Actor) -> Rollout:
    """Take the version back because a person says so. Raises BadRequest without a reason."""
    needs_reason(reason)
    release = _ended(rollout, State.ABORTED, reason=reason, by=by, evidence=None)
    fail(release, error=f"Aborted by {by.label}: {reason}")
    return rollout


def _ended(rollout: Rollout, state: str, *, reason: str, by: Actor, evidence: Evidence) -> Release:
    ended = end_rollout(rollout, state=state, reason=reason, by=by, evidence=evidence)
    if ended is None:
        rollout.refresh_from_db()
        raise Conflict(f"The {rollout} has ended: it was {rollout.get_state_display()}.")
    for field in ("state", "reason", "ended_at", "evidence"):
        setattr(rollout, field, getattr(ended, field))
    release: Release = ended.release
    return release
