"""Inputs as people see them: a picture, a row of a table, or text."""

import math
from typing import Any

import msgspec

PICTURES = {64: 8, 784: 28}
LONGEST, COLUMNS = 600, 60


def drawn(text: bytes) -> dict[str, Any]:
    """Return what a template shows of an input; any text at all is shown somehow."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"kind": "text", "text": text.decode(errors="replace")[:LONGEST]}
    if isinstance(value, list) and len(value) in PICTURES and all(map(_is_shade, value)):
        return {"kind": "picture", "numbers": text.decode(), "side": PICTURES[len(value)]}
    if isinstance(value, dict) and value:
        cells = [(name, _short(each)) for name, each in list(value.items())[:COLUMNS]]
        return {"kind": "columns", "cells": cells, "more": max(0, len(value) - COLUMNS)}
    return {"kind": "text", "text": value[:LONGEST] if isinstance(value, str) else _short(value)}


def _is_shade(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 255


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
