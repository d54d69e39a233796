"""Breakdown of a query's time, for callers that ask for it."""

from collections.abc import Sequence
from typing import Any

from serving.engine.gather import Trace
from serving.engine.outcome import Outcome, Status


def breakdown(
    *,
    arms: Sequence[str],
    outcomes: Sequence[Outcome | None],
    traces: Sequence[Trace | None],
    objective_ms: float,
    preparing: float,
    waiting: float,
    combining: float,
) -> dict[str, Any]:
    """Return the stages of a query in ms, given in seconds, and those of each arm's answer."""
    return {
        "objective_ms": objective_ms,
        "prepare_ms": _ms(preparing),
        "wait_ms": _ms(waiting),
        "combine_ms": _ms(combining),
        "models": {
            arm: _of_arm(outcome, trace)
            for arm, outcome, trace in zip(arms, outcomes, traces, strict=True)
        },
    }


def _of_arm(outcome: Outcome | None, trace: Trace | None) -> dict[str, Any]:
    if outcome is None:
        return {"from": "nowhere", "why": "no answer within the objective"}
    if trace is None:
        return {"from": "nowhere", "why": outcome.payload.decode(errors="replace")}
    if trace.source == "cache":
        return {"from": "cache"}
    explained = {
        "from": trace.source,
        "replica": trace.replica,
        "batch_size": trace.batch_size,
        "queue_ms": _ms(trace.queued),
        "batch_ms": _ms(trace.in_batch),
        "model_ms": _ms(trace.in_model),
    }
    if outcome.status != Status.OK:
        explained["why"] = outcome.payload.decode(errors="replace")
    return explained


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
