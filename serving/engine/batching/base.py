"""The interface of a batch controller for its replica."""

from typing import Protocol

# What one batch holds at most where nothing narrower is set.
MAX_SIZE = 4096


class BatchController(Protocol):
    """Says how many rows the next batch of one replica may hold, and learns from the last.

    A controller is arithmetic: it reads no clock, waits for nothing and draws no random number.
    Each replica has one of its own, since replicas of a version needn't be equally fast.
    `budget`, the seconds that one batch may take, and `max_size` may be changed at any time.
    """

    budget: float
    max_size: int

    @property
    def cap(self) -> int:
        """The largest batch to send now, in rows: from 1 to `max_size`."""

    def record(self, *, size: int, latency: float) -> None:
        """Learn that a batch of `size` rows took `latency` seconds by itself."""
