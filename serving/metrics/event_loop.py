"""How long the event loop of a web process keeps all waiting, and what the registry takes of it.

A timer comes twenty times a second, and how late it comes is how long a query that arrived at that
moment would have waited before anybody looked at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from serving.engine.stats import latency_histogram

LAG_INTERVAL_S = 0.05


class LoopWatch:
    """What one web process has seen of its event loop, and of the registry's readings."""

    def __init__(self) -> None:
        self.lag = latency_histogram()
        self.read = latency_histogram()
        self.apply = latency_histogram()

    async def run(self) -> None:
        """Observe the lag for as long as the process lives."""
        while True:
            due = monotonic() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self.lag.observe(max(0.0, monotonic() - due))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Time the block as a reading of the registry, unless it fails."""
        begun = monotonic()
        yield
        self.read.observe(monotonic() - begun)

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Time the block as the following of a reading."""
        begun = monotonic()
        yield
        self.apply.observe(monotonic() - begun)

    def published(self) -> dict[str, Any]:
        return {
            "lag": self.lag.published(),
            "read": self.read.published(),
            "apply": self.apply.published(),
        }
