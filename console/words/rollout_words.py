"""A rollout as its page draws it: steps, verdicts of its gates, evidence over time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from console.words import formats
from registry import services
from registry.models import Rollout
from registry.models.rollouts.rollout import PASSING
from registry.models.rollouts.rollout_plans import MEMORY
from selection.inference import ALPHA

State = Rollout.State
VERDICTS = {"worse": "worse", "no_worse": "no worse", "open": "not known yet"}
# Evidence of so much, as a power of ten, is as much as a gate of one application takes.
ENOUGH = math.log10(4.0 / ALPHA)
WIDTH, HEIGHT = 100.0, 24.0


class GateLine(NamedTuple):
    """A gate in words; `points` draw its evidence over time, `line` what is enough."""

    name: str
    application: str
    verdict: str
    shown: str
    words: str
    new: str
    live: str
    margin: str
    action: str
    points: str
    line: float
    chance: str


def rollout_view(rollout: Rollout) -> dict[str, Any]:
    """Return what the page of its release shows of it."""
    history = rollout.evidence.get("history", [])
    approvals = services.approvals_of(rollout) if rollout.is_open else None
    return {
        "row": rollout,
        "approvals": approvals,
        "sentence": sentence_of(rollout),
        "steps": _steps(rollout),
        "gates": [_line(gate, history) for gate in rollout.gates],
        "shadow": rollout.evidence.get("shadow", ""),
        "classes": rollout.evidence.get("classes", []),
        "failures": rollout.evidence.get("failures", []),
        "answers": rollout.evidence.get("answers", 0) if rollout.exposed_at else 0,
        "dropped": rollout.evidence.get("dropped", 0),
    }


def sentence_of(rollout: Rollout) -> str:
    """Say how it stands, and why."""
    arm, share = rollout.release.arm, f"{rollout.percent:g} % of the queries"
    match rollout.state:
        case State.PLANNED:
            return f"{arm} is rolled out by the plan {rollout.plan_name} once it is ready."
        case State.PROMOTED:
            return f"{arm} was promoted: {rollout.reason}."
        case State.ROLLED_BACK:
            return f"{arm} was taken back: {rollout.reason.rstrip('.')}."
        case State.ABORTED:
            return f"The rollout of {arm} was aborted: {rollout.reason.rstrip('.')}."
        case State.HELD:
            return f"{_gets(rollout, share)}, and is held: {_reason(rollout)}."
    waits = rollout.evidence.get("waits", "")
    return f"{_gets(rollout, share)}." + (f" It waits for: {waits}." if waits else "")


def _gets(rollout: Rollout, share: str) -> str:
    arm = rollout.release.arm
    return f"{arm} is a shadow" if rollout.stage == State.SHADOW else f"{arm} gets {share}"


def _reason(rollout: Rollout) -> str:
    return rollout.reason.removeprefix(PASSING).rstrip(".")


def _steps(rollout: Rollout) -> list[tuple[str, str]]:
    """Return each step with its state: done, current, failed, skipped or todo."""
    plan = rollout.plan
    names = [*(["Shadow"] if plan.shadow_percent else [])]
    shadows = len(names)
    names += [f"{step.percent:g} %" for step in plan.steps] + ["Everybody"]
    if rollout.state == State.PROMOTED:
        return [(name, "done") for name in names]
    if rollout.exposed_at is not None:
        reached = shadows + rollout.step
    else:
        reached = 0 if rollout.began_at is not None else -1
    now = "current" if rollout.is_open else "failed"
    states = ["done"] * max(reached, 0) + ([now] if reached >= 0 else [])
    states += ["todo" if rollout.is_open else "skipped"] * len(names)
    return list(zip(names, states, strict=False))


def _line(gate: Mapping[str, Any], history: Sequence[tuple[float, dict[str, float]]]) -> GateLine:
    evidence = gate.get("evidence") or 0.0
    unit = "%" if gate["gate"] == MEMORY else "points"
    powers = [point.get(gate["gate"], 0.0) for _, point in history]
    top = max(ENOUGH * 1.25, *powers) if powers else ENOUGH * 1.25
    return GateLine(
        name=gate["name"],
        application=gate["application"],
        verdict=gate["verdict"],
        shown=VERDICTS.get(gate["verdict"], gate["verdict"]),
        words=gate.get("words", "").partition(": ")[2],
        new=_counts(gate.get("canary")),
        live=_counts(gate.get("live")),
        margin=f"{gate['margin']:g} {unit}" if gate.get("margin") else "",
        action=gate["action"],
        points=_polyline(powers, top=top),
        line=round(_height(ENOUGH, top=top), 1),
        chance=_chance(evidence),
    )


def _chance(power: float) -> str:
    """Return how seldom as much evidence comes of equal versions, "" for hardly any."""
    if power < 0.3:
        return ""
    return f"1 in {10.0**power:,.0f}" if power < 7.0 else f"1 in 10^{power:,.0f}"


def _counts(counts: Mapping[str, float] | None) -> str:
    """Return how many of how many were lost, with the share."""
    if not counts or not counts["calls"]:
        return formats.NOTHING
    bad, calls = counts["bad"], counts["calls"]
    return f"{bad:,.4g} of {calls:,.0f} ({formats.share(bad / calls)})"


def _polyline(powers: Sequence[float], *, top: float) -> str:
    step = WIDTH / max(len(powers) - 1, 1)
    return " ".join(
        f"{place * step:.1f},{_height(power, top=top):.1f}" for place, power in enumerate(powers)
    )


def _height(power: float, *, top: float) -> float:
    return HEIGHT - HEIGHT * min(max(power, 0.0) / top, 1.0)
