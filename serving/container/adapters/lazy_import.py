"""Imports a framework without what it would import for nothing that a replica needs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Import packages with some optional dependencies hidden, for good."""
    hidden = [name for name in names if name not in sys.modules]
    # Importing takes None for a missing module.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
