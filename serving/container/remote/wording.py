"""What a server says of an error, found where servers say it."""

from __future__ import annotations

from typing import Any

import msgspec

# In the order of preference: Open Inference and OpenAI, MLflow, FastAPI.
PLACES = ("error", "message", "detail", "error_code")


def words_of(body: bytes) -> str:
    """The message within an answer's body; the body itself where none is found."""
    try:
        found = _said(msgspec.json.decode(body))
    except (ValueError, RecursionError):
        found = ""
    return found or body.decode(errors="replace")


def _said(value: Any, *, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth < 3 and isinstance(value, dict):
        parts = (_said(value.get(place), depth=depth + 1) for place in PLACES)
        return next((part for part in parts if part), "")
    if depth < 3 and isinstance(value, list) and value:
        return msgspec.json.encode(value).decode()
    return ""
