"""No batching: every row travels alone."""

from __future__ import annotations

from dataclasses import dataclass

from serving.engine.batching.base import MAX_SIZE


@dataclass(slots=True)
class Unbatched:
    """One row per batch, as a baseline, or for a model that can't take more."""

    budget: float
    max_size: int = MAX_SIZE

    @property
    def cap(self) -> int:
        return 1

    def record(self, *, size: int, latency: float) -> None:
        """Nothing is learnt."""
