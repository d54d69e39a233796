"""What counters that only grow have counted between two readings of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest


def growth(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Return by how much each has grown; one that wasn't there before has been 0."""
    return [now - was for was, now in zip_longest(before, after, fillvalue=0)]


def went_back(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether any is lower than it was: whoever counts has begun anew."""
    return any(now < was for was, now in zip_longest(before, after, fillvalue=0))
