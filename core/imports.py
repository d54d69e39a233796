"""Imports what a process needs without looking for garbage in it."""

from __future__ import annotations

import gc
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
