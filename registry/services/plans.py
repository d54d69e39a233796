"""Plans of rollouts by name: those that come with Clipper, and people's own."""

from collections.abc import Mapping
from typing import Any

from core.errors import BadRequest
from core.suggest import meant
from registry.following.recording import registry_write
from registry.models import AuditEntry, OwnPlan
from registry.models.rollouts.rollout_plans import (
    AT_ONCE,
    PLANS,
    SUMMARIES,
    RolloutPlan,
    definition_of,
    plan_of,
)
from registry.services.actor import Actor
from registry.services.audit_trail import record_done
from registry.services.row_writes import checked


def plan_named(name: str) -> RolloutPlan | None:
    """Return a plan, None for `at-once`. Raises BadRequest for a name that no plan has."""
    if name in PLANS or name == AT_ONCE:
        return PLANS.get(name)
    own = {plan.name: plan for plan in OwnPlan.objects.all()}
    if name not in own:
        known = (*SUMMARIES, *own)
        raise BadRequest(
            f"rollout: Expected one of {', '.join(known)}, got {name!r}{meant(name, known)}.",
            fields=["rollout"],
        )
    return plan_of(own[name].definition)


def summaries() -> dict[str, str]:
    """Return what each plan does, by its name."""
    own = OwnPlan.objects.all()
    return SUMMARIES | {plan.name: summary_of(plan_of(plan.definition)) for plan in own}


def summary_of(plan: RolloutPlan) -> str:
    """Say in a line what a plan of one's own does."""
    steps = ", ".join(f"{step.percent:g}" for step in plan.steps)
    shadow = "a shadow, then " if plan.shadow_percent else ""
    days = f", {plan.cycle_seconds / 3600:g} h later at the earliest" if plan.cycle_seconds else ""
    return (
        f"{shadow}{steps} %; a loss of more than {plan.margin:g} points is excluded before "
        f"everybody gets it{days}"
    )


@registry_write
def save_plan(*, name: str, definition: Mapping[str, Any], by: Actor) -> tuple[OwnPlan, bool]:
    """Make or change a plan; return it, and whether it is new. Raises BadRequest."""
    if name in SUMMARIES:
        raise BadRequest(
            f"name: {name!r} comes with Clipper and can't be changed.", fields=["name"]
        )
    whole = definition_of(plan_of(dict(definition)))
    plan = OwnPlan.objects.filter(name=name).first() or OwnPlan(name=name)
    before, is_new = plan.definition, plan.pk is None
    plan.definition = whole
    checked(plan, unique=False)
    plan.save()
    if before != whole:
        action = AuditEntry.Action.CREATE if is_new else AuditEntry.Action.CHANGE
        record_done(plan, by=by, action=action, changes={"definition": [before, whole]})
    return plan, is_new


@registry_write
def delete_plan(plan: OwnPlan, *, by: Actor) -> None:
    """Remove a plan; rollouts that go by it have their own copy."""
    changes = {"definition": [plan.definition, None]}
    record_done(plan, by=by, action=AuditEntry.Action.DELETE, changes=changes)
    plan.delete()
