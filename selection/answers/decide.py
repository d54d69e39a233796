"""The choice between the arms' combined answer and the application's default output."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from core.errors import ModelFailed
from selection.answers.combine import Combined, combine
from selection.answers.imputation import Averages


class Fault(Enum):
    """A fault of the arms' combined answer."""

    NO_OUTPUT = "no arm answered"
    NOT_COMBINED = "the outputs are nothing that can be combined"
    UNSURE = "the confidence is below the threshold"


class Objection(NamedTuple):
    """An objection to the arms' answer: its fault, an explanation, the confidence."""

    fault: Fault
    explanation: str
    confidence: float = 0.0


NOTHING = Objection(Fault.NO_OUTPUT, Fault.NO_OUTPUT.value)


def decide(
    outputs: Mapping[str, bytes],
    *,
    weights: Mapping[str, float],
    asked: Sequence[str],
    how: str,
    threshold: float,
    default: bytes | None,
    averages: Averages | None = None,
) -> Combined | Objection:
    """Return the combined answer of the arms, or the objection to giving it."""
    if not outputs:
        return NOTHING
    try:
        combined = combine(outputs, weights=weights, asked=asked, how=how, averages=averages)
    except ModelFailed as error:
        return Objection(Fault.NOT_COMBINED, error.message)
    if combined.confidence < threshold and default is not None:
        why = f"confidence {combined.confidence:.3g} below the threshold {threshold:.3g}"
        return Objection(Fault.UNSURE, why, combined.confidence)
    return combined
