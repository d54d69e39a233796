"""The parser that reads numbers fastest, where it is installed: an environment need not have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import simdjson
except ImportError:
    simdjson = None  # type: ignore[assignment]  # what isn't there


def document_reader() -> Callable[[bytes], Any] | None:
    """Return simdjson's `parse` with a buffer of its own; None without it.

    A document must not outlive the expression that reads it, or the parser refuses the next one.
    """
    return None if simdjson is None else simdjson.Parser().parse
