"""Lag of a web process's event loop, and the time that following the registry takes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from serving.engine.stats import Histogram

LAG_INTERVAL_S = 0.05


class LoopWatch:
    """Histograms of one web process's event loop and of its readings of the registry."""

    def __init__(self) -> None:
        self.lag = Histogram()
        self.read = Histogram()
        self.apply = Histogram()

    async def run(self) -> None:
        """Observe how late a timer comes, for as long as the process lives."""
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
