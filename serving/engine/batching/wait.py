"""How long a free replica is kept waiting for a fuller batch (paper §4.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serving.engine.batching.auto_wait import AutoWait


class Wait(Protocol):
    """Says how long one replica waits for more rows, and learns from what it answered.

    A full batch is sent at once. A smaller one is held while `seconds` is above 0: until nothing
    is in flight any more, and from then, or from the arrival of its first row if that came later,
    for `seconds`. `budget` may be changed at any time.
    """

    budget: float

    @property
    def seconds(self) -> float:
        """How long a free replica may be kept waiting now; 0 to send at once."""

    def record(self, *, size: int, elapsed: float, busy: float) -> None:
        """Learn that `size` rows were answered.

        `elapsed` seconds passed since the answer before, of which the replica worked on these
        rows for `busy`.
        """


@dataclass(slots=True)
class FixedWait:
    """The wait that somebody set."""

    seconds: float
    budget: float

    def record(self, *, size: int, elapsed: float, busy: float) -> None:
        """Nothing is learnt."""


def new_wait(wait_ms: float | None, *, budget: float) -> Wait:
    """A wait of `wait_ms` milliseconds, or one that learns whether waiting pays for None."""
    if wait_ms is None:
        return AutoWait(budget=budget)
    return FixedWait(seconds=wait_ms / 1000.0, budget=budget)
