"""How wrong an output was: a loss from 0 (right) to 1 (as wrong as it gets)."""

from __future__ import annotations

from registry.errors import InvalidInput
from selection.combine import MEAN
from selection.values import numbers, same_value_key


def loss_against(label: bytes, *, output: bytes, how: str) -> float:
    """Return the loss of an output against a label, both JSON text, for a way to combine."""
    return absolute(label, output=output) if how == MEAN else zero_one(label, output=output)


def zero_one(label: bytes, *, output: bytes) -> float:
    """Return 0 where both are the same JSON value, else 1."""
    return 0.0 if label == output or same_value_key(label) == same_value_key(output) else 1.0


def absolute(label: bytes, *, output: bytes) -> float:
    """Return the absolute error (of arrays: its mean over the items), at most 1.

    An output that is no number, or not of the label's shape, is as wrong as it gets; a label
    that is no number is the caller's mistake and raises `InvalidInput`.
    """
    truth, answer = numbers(label), numbers(output)
    if truth is None:
        raise InvalidInput("label: expected a number or an array of numbers")
    if isinstance(truth, float) and isinstance(answer, float):
        return min(1.0, abs(truth - answer))
    if isinstance(truth, list) and isinstance(answer, list) and len(truth) == len(answer):
        errors = [abs(x - y) for x, y in zip(truth, answer, strict=True)]
        return min(1.0, sum(errors) / len(errors)) if errors else 0.0
    return 1.0


def loss_of_reward(reward: float) -> float:
    """Return the loss that a reward from 0 to 1 stands for."""
    return 1.0 - reward
