"""Outputs and labels are JSON texts; this says when two of them are the same value."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

decode = msgspec.json.Decoder().decode


def same_value_key(text: bytes) -> Hashable:
    """Return a key that two JSON texts share exactly when they mean the same value.

    1 and 1.0 are one value, 1 and true are two, and the order of an object's members doesn't
    count. Text that isn't JSON agrees only with the same text.
    """
    try:
        return _frozen(decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def numbers(text: bytes) -> float | list[float] | None:
    """Return the number, or the flat array of numbers, that the text holds; None for others."""
    try:
        value = decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    try:
        if _is_number(value):
            return float(value)
        if isinstance(value, list) and all(map(_is_number, value)):
            return [float(item) for item in value]
    except OverflowError:  # a whole number that no float can hold
        return None
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _frozen(value: Any) -> Hashable:
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("array", *map(_frozen, value))
    if isinstance(value, dict):
        return ("object", frozenset((key, _frozen(item)) for key, item in value.items()))
    return value  # type: ignore[no-any-return]  # a JSON scalar: hashable as it is
