"""The average answer of each arm, which stands in for one that comes too late (§5.2.2)."""

from collections import OrderedDict
from typing import NamedTuple

# Values that can be averaged: a number, an array of numbers, scores by label.
Values = float | list[float] | dict[str, float]
Shape = int | str


class _Average(NamedTuple):
    values: Values
    answers: int


class Averages:
    """Running averages by kind of value and arm. One owner; the longest unused are given up."""

    def __init__(self, *, memory: int = 1000, arms: int = 256) -> None:
        self._memory = memory
        self._capacity = arms
        self._averages: OrderedDict[tuple[str, str], _Average] = OrderedDict()

    def note(self, arm: str, *, kind: str, values: Values) -> None:
        """Count an answer in; one of another shape than before begins anew."""
        if not isinstance(values, float) and len(values) > 10_000:
            return
        key = (kind, arm)
        known = self._averages.get(key)
        if known is None or shape(known.values) != shape(values):
            self._averages[key] = _Average(values, 1)
            while len(self._averages) > self._capacity:
                self._averages.popitem(last=False)
            return
        answers = min(known.answers + 1, self._memory)
        moved = _toward(known.values, values, share=1.0 / answers)
        self._averages[key] = _Average(moved, answers)
        self._averages.move_to_end(key)

    def of(self, arm: str, *, kind: str) -> Values | None:
        """Return what the arm answers on average, None where it has not answered yet."""
        known = self._averages.get((kind, arm))
        return None if known is None else known.values


def shape(values: Values) -> Shape:
    """Return what two values must share to be averaged."""
    if isinstance(values, list):
        return len(values)
    return "object" if isinstance(values, dict) else "number"


def _toward(old: Values, new: Values, *, share: float) -> Values:
    """Move an average by a share of its distance from a new answer of the same shape."""
    if isinstance(old, list) and isinstance(new, list):
        return [x + (y - x) * share for x, y in zip(old, new, strict=True)]
    if isinstance(old, dict) and isinstance(new, dict):
        moved = {label: (1.0 - share) * score for label, score in old.items()}
        for label, score in new.items():
            moved[label] = moved.get(label, 0.0) + share * score
        return moved if len(moved) <= 10_000 else new
    assert isinstance(old, float)  # noqa: S101 - both have one shape
    assert isinstance(new, float)  # noqa: S101
    return old + (new - old) * share
