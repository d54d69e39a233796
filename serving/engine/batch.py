"""A batch on its way to a replica, and how it went."""

from __future__ import annotations

from dataclasses import dataclass

from serving.engine.questions import Call


@dataclass(slots=True)
class Batch:
    """What was sent and when; `expected` are the seconds that it should take by itself.

    `apart` are calls that may be what a replica died of: nothing else is under way with them.
    """

    calls: list[Call]
    sent_at: float
    expected: float
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """How a batch went, in seconds: by itself, inside the model; `failed` where wholly in vain."""

    seconds: float
    model_seconds: float
    failed: bool
