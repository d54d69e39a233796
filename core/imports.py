"""Imports that take less memory and time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for garbage neither in the block nor, ever after, in what it has left.

    Modules live as long as their process: to look through them, again and again while there are
    more of them, was a seventh of the console's start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Import other packages as if these, which they use only if they are there, weren't installed.

    Modules that are loaded already stay; whatever needs one of the others later gets it.
    """
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        sys.modules[name] = None  # type: ignore[assignment]  # which importing takes for missing
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
