"""Steps of rollouts: from the first query to the last share, no further than approvals allow."""

from datetime import datetime

from registry.following.recording import registry_write
from registry.models import Rollout
from registry.services.approvals import approvals_of
from registry.services.rollouts import State, move_rollout, open_rollout


@registry_write
def begin_rollout(rollout: Rollout, *, now: datetime) -> None:
    """Send it its first queries, now that its replicas are ready; a shadow wants no approval."""
    if (current := open_rollout(rollout)) is None or current.state != State.PLANNED:
        return
    shadows = current.plan.shadow_percent > 0.0
    if shadows or not approvals_of(current, of_next_step=True).missing:
        current.began_at = now
        move_rollout(current, to=State.SHADOW if shadows else State.CANARY, now=now)


@registry_write
def advance_rollout(rollout: Rollout, *, now: datetime, reason: str) -> None:
    """Take it from the shadow to its first step, or from a step to the next."""
    current = open_rollout(rollout)
    if current is None or current.state not in (State.SHADOW, State.CANARY):
        return
    # One that was given may have been revoked.
    if not approvals_of(current, of_next_step=True).missing:
        step = current.step + 1 if current.state == State.CANARY else 0
        move_rollout(current, to=State.CANARY, step=step, now=now, reason=reason)
