"""The ruling about a rollout at one look: go back, hold, go on, or wait."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from registry.models.rollouts.rollout_plans import HOLD, ROLL_BACK, Action, RolloutPlan
from selection.evaluation.gates.gate import GateVerdict


class Judged(NamedTuple):
    """A gate's verdict; `application` is "" for all together, `words` say it to people.

    A gate that is `wanted` has to prove the version no worse before everybody gets it, one that
    guards steps, `always`, before every step.
    """

    gate: str
    application: str
    verdict: GateVerdict
    action: Action
    words: str
    wanted: bool = False
    always: bool = False


class Look(NamedTuple):
    """A rollout as one look finds it; times in seconds. `answers` are the canary's in this step.

    `faults` are reasons to hold that may pass by themselves, such as no traffic.
    """

    plan: RolloutPlan
    is_shadow: bool
    step: int
    is_held: bool
    is_paused: bool
    in_step_s: float
    exposed_s: float
    answers: int
    judged: Sequence[Judged]
    faults: Sequence[str] = ()
    overruled: Collection[str] = ()
    # What the step waits for beside its gates, such as an approval.
    others: Sequence[str] = ()


class RolloutMove(StrEnum):
    ROLL_BACK = "roll back"
    HOLD = "hold"
    RESUME = "resume"
    ADVANCE = "advance"
    PROMOTE = "promote"
    STAY = "stay"


class Ruling(NamedTuple):
    """A move, and its reason; staying has what it waits for."""

    move: RolloutMove
    reason: str = ""


# Rows compared before a shadow may become a canary.
LEAST_SHADOWED = 30


def rule_on(look: Look) -> Ruling:
    """Return the ruling. Time alone never promotes, and a version proved worse goes at once."""
    counted = [gate for gate in look.judged if gate.gate not in look.overruled]
    worse = [gate for gate in counted if gate.verdict == GateVerdict.WORSE]
    for gate in worse:
        if gate.action == ROLL_BACK:
            return Ruling(RolloutMove.ROLL_BACK, gate.words)
    if look.is_paused:
        return Ruling(RolloutMove.STAY, "a person holds it")
    for gate in worse:
        if gate.action == HOLD:
            return Ruling(RolloutMove.HOLD, gate.words)
    if look.faults:
        return Ruling(RolloutMove.HOLD, look.faults[0])
    if look.is_held:
        return Ruling(RolloutMove.RESUME)
    waits = _waits(look, counted)
    if waits:
        return Ruling(RolloutMove.STAY, "; ".join(waits))
    proved = "; ".join(gate.words for gate in counted if gate.verdict == GateVerdict.NO_WORSE)
    is_last = not look.is_shadow and look.step == len(look.plan.steps) - 1
    return Ruling(
        RolloutMove.PROMOTE if is_last else RolloutMove.ADVANCE, proved or "its time is over"
    )


def _waits(look: Look, counted: Sequence[Judged]) -> list[str]:
    """Return what stands between this step and the next."""
    plan, waits = look.plan, list(look.others)
    if look.is_shadow:
        least_s, least = plan.shadow_seconds, LEAST_SHADOWED
    else:
        step = plan.steps[look.step]
        least_s, least = step.seconds, max(step.answers, 1)
    if look.in_step_s < least_s:
        waits.append(f"{least_s - look.in_step_s:.0f} s until this step may end")
    if look.answers < least:
        waits.append(f"{look.answers:,} of {least:,} answers of this step")
    if look.is_shadow:
        return waits
    is_last = look.step == len(plan.steps) - 1
    waits += [
        gate.words
        for gate in counted
        if gate.verdict == GateVerdict.OPEN and (gate.always or (gate.wanted and is_last))
    ]
    if is_last and look.exposed_s < plan.cycle_seconds:
        hours = (plan.cycle_seconds - look.exposed_s) / 3600
        waits.append(f"{hours:.1f} h until it has seen a whole day")
    return waits
