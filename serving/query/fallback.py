"""Why the models' answer to a query won't do, and the error it is where there is no default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from registry.errors import (
    ClipperError,
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    NotReady,
    Saturated,
)
from registry.specs import ApplicationSpec
from serving.engine.outcome import Outcome, Status

NO_MODEL = "no model is connected"
TOO_LATE = "none answered within the objective"
OVERLOADED = f"{TOO_LATE}: every model asked is overloaded"
ONE_REFUSED = "a model refused the input, and none other answered in time"
# Why a call was refused at once, before it cost a model anything.
REFUSED = (Status.OVERLOADED, Status.SATURATED)
# How a model failed on the input itself.
FAILED = (Status.MODEL_FAILED, Status.QUARANTINED)


class FallbackReason(NamedTuple):
    """Why the models' answer won't do: the counter of its cause, and the words for people.

    `bad_input`: all the models asked say that it is for the caller to mend.
    """

    counter: str
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
            return FallbackReason("refused", f"input: {text}", bad_input=True)
        return FallbackReason("refused", f"{ONE_REFUSED}: {text}")
    for outcome in ended:
        if outcome.status in FAILED:
            return FallbackReason("failed", f"the model failed: {text_of(outcome)}")
    if not connected():
        return FallbackReason("unconnected", NO_MODEL)
    if all(outcome is not None and outcome.status in REFUSED for outcome in outcomes):
        return FallbackReason("overloaded", OVERLOADED)
    return FallbackReason("timed_out", TOO_LATE)


def error_for(
    fallback: FallbackReason,
    *,
    application: ApplicationSpec,
    objective_ms: float,
    seconds_until_calm: Callable[[], float],
) -> ClipperError:
    """Return what a query without default output fails with, or one whose input is bad."""
    name, explanation = application.name, fallback.explanation
    if fallback.counter == "refused":
        return InvalidInput(explanation)
    if explanation == NO_MODEL:
        return NotReady(f"{name}: {explanation}, and there is no default output.")
    if explanation == OVERLOADED:
        return Saturated(
            f"{name}: {explanation}, and there is no default output.",
            retry_after_s=seconds_until_calm(),
        )
    if explanation == TOO_LATE:
        return DeadlineExceeded(
            f"{name}: {explanation} of {objective_ms:g} ms, and there is no default output.",
            objective_ms=objective_ms,
        )
    return ModelFailed(f"{name}: {explanation}")


def text_of(outcome: Outcome) -> str:
    return outcome.payload.decode(errors="replace")
