"""Explanation of an arm's answer, for callers that ask for it."""

from typing import Any

from serving.engine.gather import Trace
from serving.engine.outcome import Outcome, Status


def explain(outcome: Outcome | None, trace: Trace | None) -> dict[str, Any]:
    """Return the source of an arm's answer, and its stages in milliseconds."""
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
        "queue_ms": milliseconds(trace.queued),
        "batch_ms": milliseconds(trace.in_batch),
        "model_ms": milliseconds(trace.in_model),
    }
    if outcome.status != Status.OK:
        explained["why"] = outcome.payload.decode(errors="replace")
    return explained


def milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)
