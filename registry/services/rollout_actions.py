"""Acts of people on a rollout, by their names, for the API and the console."""

from collections.abc import Callable
from typing import NamedTuple

from core.errors import BadRequest
from registry.models import Rollout
from registry.services.actor import Actor
from registry.services.approvals import APPROVE, approve_rollout
from registry.services.rollout_ends import abort_rollout, promote_rollout
from registry.services.rollouts import pause_rollout, resume_rollout

ROLL_BACK, DEPLOY = "registry.roll_back_model", "registry.change_model"


class RolloutAction(NamedTuple):
    """An act, the permission that a person needs for it, and what it takes beside a reason."""

    call: Callable[..., Rollout]
    permission: str
    takes: tuple[str, ...] = ("reason",)


ACTS = {
    "pause": RolloutAction(pause_rollout, ROLL_BACK),
    "abort": RolloutAction(abort_rollout, ROLL_BACK),
    "resume": RolloutAction(resume_rollout, DEPLOY),
    "promote": RolloutAction(promote_rollout, DEPLOY, ("reason", "bypass")),
    "approve": RolloutAction(approve_rollout, APPROVE, ("digest",)),
}


def rollout_act(name: str) -> RolloutAction:
    """Return an act by its name. Raises BadRequest."""
    if name not in ACTS:
        expected = ", ".join(ACTS)
        raise BadRequest(f"action: Expected one of {expected}, got {name!r}.", fields=["action"])
    return ACTS[name]


def act_on_rollout(rollout: Rollout, act: RolloutAction, *, by: Actor, **said: object) -> Rollout:
    """Do it with those of the words that it takes; `reason` and `digest` may be left out."""
    given = {"reason": "", "digest": "", **said}
    return act.call(rollout, by=by, **{name: given[name] for name in act.takes if name in given})
