"""Where the time of one query went, for who asks it to be explained."""

from __future__ import annotations

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
    """Return the stages of a query in ms, given in seconds, and those of each arm's answer.

    An arm's answer comes from "model", from "cache", from a "joined" query that was under way, or
    from "nowhere", with the reason.
    """
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
    told = {
        "from": trace.source,
        "replica": trace.replica,
        "batch_size": trace.batch_size,
        "queue_ms": _ms(trace.queued),
        "batch_ms": _ms(trace.in_batch),
        "model_ms": _ms(trace.in_model),
    }
    if outcome.status != Status.OK:
        told["why"] = outcome.payload.decode(errors="replace")
    return told


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
