"""Imports a framework without what it would import for nothing that a replica needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Import others as if these modules weren't installed.

    Whoever needs them later gets them, but not those others: what these do with one of them is
    missing for as long as the process lives.
    """
    hidden = [name for name in names if name not in sys.modules]
    # Importing takes None for a missing module.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
