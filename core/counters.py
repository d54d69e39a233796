"""Growth of counters between two readings."""

from collections.abc import Sequence
from itertools import zip_longest


def growth(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Return by how much each has grown; a new one was 0."""
    return [now - was for was, now in zip_longest(before, after, fillvalue=0)]


def went_back(before: Sequence[int], after: Sequence[int]) -> bool:
    """Return whether any is lower than before: its process has begun anew."""
    return any(now < was for was, now in zip_longest(before, after, fillvalue=0))
