"""Reasons for a default output, and the error of a query without one."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from core.errors import (
    ClipperError,
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    NotReady,
    Saturated,
)
from core.specs import ApplicationSpec
from selection.answers.combine import Fault, Objection
from serving.engine.outcome import Outcome, Status
from serving.metrics.outcomes import QueryEnding

NO_MODEL = "no model is connected"
TOO_LATE = "none answered within the objective"
OVERLOADED = f"{TOO_LATE}: every model asked is overloaded"
ONE_REFUSED = "a model refused the input, and none other answered in time"
REFUSED = (Status.OVERLOADED, Status.SATURATED)
FAILED = (Status.MODEL_FAILED, Status.QUARANTINED)


class FallbackCause(StrEnum):
    """Cause of a default output; the value is the name of its counter."""

    UNCONNECTED = "unconnected"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    REFUSED = "refused"
    UNSURE = "unsure"


# Why a query got the default output, and an error.
ENDING_OF_CAUSE = {
    FallbackCause.UNCONNECTED: QueryEnding.NO_REPLICA,
    FallbackCause.OVERLOADED: QueryEnding.REFUSED,
    FallbackCause.TIMED_OUT: QueryEnding.TIMED_OUT,
    FallbackCause.FAILED: QueryEnding.FAILED,
    # One model refused the input; the others, which might have known better, did not answer.
    FallbackCause.REFUSED: QueryEnding.TIMED_OUT,
    FallbackCause.UNSURE: QueryEnding.ABSTAINED,
}
ENDING_OF_ERROR: dict[type[Exception], QueryEnding] = {
    NotReady: QueryEnding.NO_REPLICA,
    Saturated: QueryEnding.REFUSED,
    DeadlineExceeded: QueryEnding.TIMED_OUT,
    InvalidInput: QueryEnding.INVALID,
}


class FallbackReason(NamedTuple):
    """Cause and explanation; a `bad_input` is one that all models asked refuse."""

    cause: FallbackCause
    explanation: str
    bad_input: bool = False


def _why_none(
    outcomes: Sequence[Outcome | None], *, connected: Callable[[], bool]
) -> FallbackReason:
    ended = [outcome for outcome in outcomes if outcome is not None]
    refusals = [outcome for outcome in ended if outcome.status == Status.INVALID_INPUT]
    if refusals:
        text = text_of(refusals[0])
        if len(refusals) == len(outcomes):
            return FallbackReason(FallbackCause.REFUSED, f"input: {text}", bad_input=True)
        return FallbackReason(FallbackCause.REFUSED, f"{ONE_REFUSED}: {text}")
    for outcome in ended:
        if outcome.status in FAILED:
            return _failed(text_of(outcome))
    if not connected():
        return FallbackReason(FallbackCause.UNCONNECTED, NO_MODEL)
    if all(outcome is not None and outcome.status in REFUSED for outcome in outcomes):
        return FallbackReason(FallbackCause.OVERLOADED, OVERLOADED)
    return FallbackReason(FallbackCause.TIMED_OUT, TOO_LATE)


def why_default(
    objection: Objection, outcomes: Sequence[Outcome | None], *, connected: Callable[[], bool]
) -> FallbackReason:
    """Return why the models' answer is not given; `connected` says if any has a replica."""
    if objection.fault is Fault.NO_OUTPUT:
        return _why_none(outcomes, connected=connected)
    if objection.fault is Fault.UNSURE:
        return FallbackReason(FallbackCause.UNSURE, objection.explanation)
    return _failed(objection.explanation)


def error_for(
    fallback: FallbackReason,
    *,
    application: ApplicationSpec,
    objective_ms: float,
    seconds_until_calm: Callable[[], float],
) -> ClipperError:
    """Return the error of a query without a default output, or with a bad input."""
    cause, explanation = fallback.cause, fallback.explanation
    message = f"{application.name}: {explanation}"
    if cause is FallbackCause.REFUSED:
        return InvalidInput(explanation)
    if cause is FallbackCause.UNCONNECTED:
        return NotReady(f"{message}, and there is no default output.")
    if cause is FallbackCause.OVERLOADED:
        return Saturated(
            f"{message}, and there is no default output.", retry_after_s=seconds_until_calm()
        )
    if cause is FallbackCause.TIMED_OUT:
        return DeadlineExceeded(
            f"{message} of {objective_ms:g} ms, and there is no default output.",
            objective_ms=objective_ms,
        )
    return ModelFailed(message)


def _failed(text: str) -> FallbackReason:
    return FallbackReason(FallbackCause.FAILED, f"the model failed: {text}")


def text_of(outcome: Outcome) -> str:
    return outcome.payload.decode(errors="replace")
