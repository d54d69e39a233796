"""The number of numbers in an input, as a process that runs somebody's code told it."""

from __future__ import annotations

# As many numbers as one input may be long: a query has at most 16 MiB.
MOST_FEATURES = 1 << 23


def told_features(told: object) -> int | None:
    """Return that number; None where none was told, or nothing that can be one."""
    fits = type(told) is int and 0 <= told <= MOST_FEATURES
    return told if fits else None  # type: ignore[return-value]  # it is an int where it fits
