"""Outputs and labels are JSON texts; this reads them, and says when two are the same value."""

import math
from collections.abc import Hashable
from typing import Any

import msgspec

decode = msgspec.json.Decoder().decode

NULL = "null"
# By the first byte of their text; all others are numbers.
KINDS = {
    b'"': "a text",
    b"t": "true or false",
    b"f": "true or false",
    b"n": NULL,
    b"[": "an array",
    b"{": "an object",
}

# Shares of 1 by class: an array by index, an object by label.
Scores = list[float] | dict[str, float]


def kind_of(text: bytes) -> str:
    """Return what a JSON text is, in words."""
    return KINDS.get(text.lstrip()[:1], "a number")


def same_value_key(text: bytes) -> Hashable:
    """Return a key that two JSON texts share exactly when they mean the same value."""
    try:
        return frozen(decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def numbers(text: bytes) -> float | list[float] | None:
    """Return the number, or the flat array of numbers, that the text holds; None for others."""
    found = numbers_or_nulls(text)
    if isinstance(found, list):
        return None if None in found else found  # type: ignore[return-value]  # no None is left
    return found


def numbers_or_nulls(text: bytes) -> float | list[float | None] | None:
    """Return the same, where items of an array may also be null."""
    try:
        value = decode(text)
        if is_number(value):
            return float(value)
        if isinstance(value, list) and all(item is None or is_number(item) for item in value):
            return [None if item is None else float(item) for item in value]
    # OverflowError: a whole number that no float can hold.
    except (msgspec.DecodeError, RecursionError, OverflowError):
        return None
    return None


def class_scores(text: bytes) -> Scores | None:
    """Return the scores of classes that the text holds, divided by their sum; None for others."""
    try:
        value = decode(text)
        given = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(given, list) or not given or not all(map(is_number, given)):
            return None
        total = math.fsum(given)
    except (msgspec.DecodeError, RecursionError, OverflowError):
        return None
    if min(given) < 0.0 or not math.isfinite(total):
        return None
    shares = [x / total for x in given] if total > 0.0 else [1.0 / len(given)] * len(given)
    return dict(zip(value, shares, strict=True)) if isinstance(value, dict) else shares


def best_class(scores: Scores) -> str | int:
    """Return the label, or the index, of the highest score; of equal ones the first in order."""
    if isinstance(scores, dict):
        return min(scores, key=lambda label: (-scores[label], label))
    return scores.index(max(scores))


def score_of(label: Any, scores: Scores) -> float | None:
    """Return the score of a class, 0 where it has none; None where no class can have this name."""
    if isinstance(label, bool) or not isinstance(label, str | int):
        return None
    if isinstance(scores, dict):
        return scores.get(str(label), 0.0)
    if isinstance(label, str) or label < 0:
        return None
    return scores[label] if label < len(scores) else 0.0


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def frozen(value: Any) -> Hashable:
    """Return a hashable value that stands for a decoded JSON value."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("array", *map(frozen, value))
    if isinstance(value, dict):
        return ("object", frozenset((key, frozen(item)) for key, item in value.items()))
    return value  # type: ignore[no-any-return]  # a JSON scalar: hashable as it is
