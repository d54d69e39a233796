"""Batches of a size that was tuned by hand."""

from dataclasses import dataclass

from serving.engine.batching.base import MAX_SIZE


@dataclass(slots=True)
class FullBatches:
    """Up to `max_size` rows in every batch, however long they take."""

    budget: float
    max_size: int = MAX_SIZE

    @property
    def cap(self) -> int:
        return self.max_size

    def record(self, *, size: int, latency: float) -> None:
        """Nothing is learnt."""
