"""Imports others as if modules weren't installed that nobody here needs them to use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Modules that are loaded already stay; whoever needs one of the others later gets it."""
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        sys.modules[name] = None  # type: ignore[assignment]  # which importing takes for missing
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
