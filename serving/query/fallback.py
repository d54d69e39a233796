"""Why the models' answer to a query won't do, and the error it is where there is no default."""

from __future__ import annotations

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
from selection.answers.decide import Fault, Objection
from serving.engine.outcome import Outcome, Status

NO_MODEL = "no model is connected"
TOO_LATE = "none answered within the objective"
OVERLOADED = f"{TOO_LATE}: every model asked is overloaded"
ONE_REFUSED = "a model refused the input, and none other answered in time"
# Why a call was refused at once, before it cost a model anything.
REFUSED = (Status.OVERLOADED, Status.SATURATED)
# How a model failed on the input itself.
FAILED = (Status.MODEL_FAILED, Status.QUARANTINED)


class FallbackCause(StrEnum):
    """What kept a query from the models' answer; the value is the name of its counter."""

    UNCONNECTED = "unconnected"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    REFUSED = "refused"
    UNSURE = "unsure"


class FallbackReason(NamedTuple):
    """Why the models' answer won't do: its cause, and the words for people.

    `bad_input`: all the models asked say that it is for the caller to mend.
    """

    cause: FallbackCause
    explanation: str
    bad_input: bool = False


def why_none(
    outcomes: Sequence[Outcome | None], *, connected: Callable[[], bool]
) -> FallbackReason:
    """Say why there is no output; `connected` says whether any model asked has a replica."""
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


def why_default(objection: Objection) -> FallbackReason:
    """Say why what the models answered is not given."""
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
    """Return what a query without default output fails with, or one whose input is bad."""
    cause, explanation = fallback.cause, fallback.explanation
    told = f"{application.name}: {explanation}"
    if cause is FallbackCause.REFUSED:
        return InvalidInput(explanation)
    if cause is FallbackCause.UNCONNECTED:
        return NotReady(f"{told}, and there is no default output.")
    if cause is FallbackCause.OVERLOADED:
        return Saturated(
            f"{told}, and there is no default output.", retry_after_s=seconds_until_calm()
        )
    if cause is FallbackCause.TIMED_OUT:
        return DeadlineExceeded(
            f"{told} of {objective_ms:g} ms, and there is no default output.",
            objective_ms=objective_ms,
        )
    return ModelFailed(told)


def _failed(text: str) -> FallbackReason:
    return FallbackReason(FallbackCause.FAILED, f"the model failed: {text}")


def text_of(outcome: Outcome) -> str:
    return outcome.payload.decode(errors="replace")
