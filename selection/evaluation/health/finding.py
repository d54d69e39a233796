"""The finding of a health check, and the labels that checks look at."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

State = Literal["good", "alarm", "unknown", "not_applicable"]
GOOD: State = "good"
ALARM: State = "alarm"
UNKNOWN: State = "unknown"
# The check is about something that this application doesn't have, such as a second arm.
NOT_APPLICABLE: State = "not_applicable"


class Finding(NamedTuple):
    """The state of a check, its number (None: not known yet), and the reason."""

    state: State
    value: float | None
    reason: str


def not_applicable(reason: str) -> Finding:
    return Finding(NOT_APPLICABLE, None, reason)


class Label(NamedTuple):
    """A label or a reward that somebody gave. Times are unix seconds.

    `arm` is None unless it was drawn by chance. `awaited`: there was an answer before it.
    """

    arm: str | None
    propensity: float
    key: str
    context: str
    issued_at: float
    received_at: float
    metrics: Mapping[str, float]
    awaited: bool = True
    overlap: float = 0.0
