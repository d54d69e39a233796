"""Plans of rollouts: their steps, and the gates that each step waits for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from core.errors import BadRequest

Percent = Annotated[float, Meta(gt=0.0, lt=100.0)]
Seconds = Annotated[int, Meta(ge=0, le=30 * 86_400)]
Points = Annotated[float, Meta(ge=0.1, le=50.0)]
Action = Literal["roll back", "hold", "tell"]
ROLL_BACK: Action = "roll back"
HOLD: Action = "hold"
TELL: Action = "tell"
MEMORY, MEMORY_PERCENT = "memory", 25.0

AT_ONCE = "at-once"
DAY = 86_400


class RolloutStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of queries in percent, and what it takes at least: seconds, answers, an approval."""

    percent: Percent
    seconds: Seconds = 60
    answers: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    approval: bool = False


class GateRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gate's margin in points of 100, of memory in percent, and what follows if it is worse.

    A rule that leaves one out has the usual one.
    """

    margin: Points | None = None
    action: Action | None = None


class SettledRule(NamedTuple):
    """A gate's rule, with what is usual where the plan says nothing."""

    margin: float
    action: Action


class RolloutPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a version goes live.

    `shadow_percent` of the queries are sent to it without influence before its first step, for
    `shadow_seconds` at least. `margin` is what it may lose, in points of reward; in the shares of
    errors and of late answers it may lose as much. Promotion waits for `cycle_seconds` of canary.
    `labels` True: promotion needs labels; False: only if the application had some lately. `replay`:
    it waits until the version was asked captured queries again, and not found worse.
    """

    steps: Annotated[tuple[RolloutStep, ...], Meta(min_length=1, max_length=20)]
    shadow_percent: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.0
    shadow_seconds: Seconds = 60
    margin: Points = 2.0
    cycle_seconds: Seconds = DAY
    hedged: bool = True
    labels: bool = False
    replay: bool = False
    gates: dict[str, GateRule] = {}

    def __post_init__(self) -> None:
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)):
            raise ValueError(f"steps: expected rising percents, got {percents}")

    def rule(self, gate: str) -> SettledRule:
        """Return the rule of a gate; one of a metric of feedback holds, unless the plan says so."""
        given = self.gates.get(gate, GateRule())
        usual = MEMORY_PERCENT if gate == MEMORY else self.margin
        return SettledRule(given.margin or usual, given.action or DEFAULT_ACTIONS.get(gate, HOLD))


DEFAULT_ACTIONS: dict[str, Action] = {
    "errors": ROLL_BACK,
    "lateness": ROLL_BACK,
    "reward": ROLL_BACK,
    "replay": ROLL_BACK,
    "labels": HOLD,
    # It harms nobody who asks; a version that outgrows its limit is ended, and fails its errors.
    MEMORY: TELL,
}

PLANS = {
    "careful": RolloutPlan(
        steps=tuple(RolloutStep(percent, 600) for percent in (1.0, 5.0, 10.0, 25.0, 50.0)),
        shadow_percent=20.0,
        shadow_seconds=600,
        margin=1.0,
    ),
    "usual": RolloutPlan(
        steps=tuple(RolloutStep(percent, 60) for percent in (1.0, 5.0, 25.0, 50.0)),
        shadow_percent=10.0,
    ),
    "quick": RolloutPlan(
        steps=(RolloutStep(10.0, 10), RolloutStep(50.0, 10)), margin=5.0, cycle_seconds=0
    ),
}
SUMMARIES = {
    AT_ONCE: "everybody gets it as soon as its replicas are ready",
    "careful": "a shadow, then 1, 5, 10, 25 and 50 %, ten minutes each at least; a loss of more "
    "than 1 point is excluded before everybody gets it, a day later at the earliest",
    "usual": "a shadow, then 1, 5, 25 and 50 %, a minute each at least; a loss of more than 2 "
    "points is excluded before everybody gets it, a day later at the earliest",
    "quick": "10 and 50 %, ten seconds each at least; a loss of more than 5 points is excluded. It "
    "waits for no whole day: what is bad at night alone is not found",
}


def plan_of(definition: Any) -> RolloutPlan:
    """Return a plan from its JSON. Raises BadRequest."""
    try:
        return msgspec.convert(definition, RolloutPlan)
    except msgspec.ValidationError as error:
        raise BadRequest(f"rollout: {error}", fields=["rollout"]) from error


def definition_of(plan: RolloutPlan) -> dict[str, Any]:
    definition: dict[str, Any] = msgspec.to_builtins(plan)
    return definition
