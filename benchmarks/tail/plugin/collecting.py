"""A way to combine that collects all garbage of the web process first, as a package brings one."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any


def combine(answers: Mapping[str, Any], weights: Mapping[str, float]) -> tuple[Any, float]:
    """Return the first answer; the event loop has waited for a full collection meanwhile."""
    gc.collect()
    return next(iter(answers.values())), 1.0
