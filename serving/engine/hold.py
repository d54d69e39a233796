"""The wait before a partial batch leaves: one timer at most, which goes off at the first moment."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Hold:
    """Calls `end` at the earliest of the moments that it was told since it was stopped."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        return self._timer is not None

    def until(self, moment: float, *, now: float) -> None:
        """End at this monotonic time, or sooner if that was asked for before; never at infinity."""
        if moment < math.inf and (self._timer is None or moment < self._until):
            self.stop()
            self._timer = asyncio.get_running_loop().call_later(moment - now, self._go_off)
            self._until = moment

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_off(self) -> None:
        self._timer = None
        self._end()
