"""A batch on its way to a replica, and how it went."""

from __future__ import annotations

from dataclasses import dataclass

from serving.engine.gather import Call, Trace


@dataclass(slots=True)
class Batch:
    """What was sent and when; `expected` are the seconds that it should take by itself.

    So many of the first are `answered`, where the answers come in parts. `apart` are calls that may
    be what a replica died of: nothing else is under way with them.
    """

    calls: list[Call]
    sent_at: float
    expected: float
    apart: bool = False
    answered: int = 0

    @property
    def open(self) -> list[Call]:
        """The calls that have no answer yet: the last ones."""
        return self.calls[self.answered :] if self.answered else self.calls

    def trace(self, calls: list[Call], *, by: str, now: float, model_seconds: float) -> None:
        """Note for those who asked for it where the time of these answers went."""
        for call in calls:
            if call.traced:
                call.trace = Trace(
                    "model",
                    by,
                    len(self.calls),
                    self.sent_at - call.asked_at,
                    now - self.sent_at,
                    model_seconds,
                )


@dataclass(frozen=True, slots=True)
class Done:
    """How a batch went, in seconds: by itself, inside the model; `failed` where wholly in vain."""

    seconds: float
    model_seconds: float
    failed: bool
