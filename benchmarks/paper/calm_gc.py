"""The garbage collector as a web process sets it, for a process that has imported far more."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# As in a web process (clipper_site/asgi.py).
GC_THRESHOLDS = (10_000, 20, 100)


@contextmanager
def calm_gc() -> Iterator[None]:
    """Don't look for garbage among what was there before, which here is all of scikit-learn."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
