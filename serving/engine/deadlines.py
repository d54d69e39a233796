"""Deadlines of gathers: one timer for all of them, set to the next that counts.

Nearly all are answered long before. A timer for each costs a virtual machine more than the rest of
its wait for a socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

# Deadlines further away are drawn together to multiples of this, to the earlier side: with a moment
# for each query the loop is about to wake all the time.
GRAIN_S = 0.001

logger = logging.getLogger(__name__)

# Those who are told at one moment, by what they are known by when they need not be any more.
Due = dict[object, Callable[[], None]]


class Deadlines:
    """Calls whoever still waits when its time is over, or up to a sixteenth of it before."""

    __slots__ = ("_due", "_moments", "_set_to", "_timer")

    def __init__(self) -> None:
        self._due: dict[float, Due] = {}
        # A heap of when those are due.
        self._moments: list[float] = []
        self._set_to = inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def moments(self) -> int:
        """How many there are at which somebody, or nobody any more, is told."""
        return len(self._moments)

    def watch(self, who: object, *, seconds: float, tell: Callable[[], None]) -> Due:
        """Call `tell` after `seconds`, unless `who` is removed from what is returned before."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if seconds >= 16 * GRAIN_S:
            at -= at % GRAIN_S
        due = self._due.get(at)
        if due is None:
            due = self._due[at] = {}
            heappush(self._moments, at)
            if at < self._set_to:
                self._set(at, loop=loop)
        due[who] = tell
        return due

    def _set(self, at: float, *, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set_to = at
        self._timer = loop.call_at(at, self._tell)

    def _tell(self) -> None:
        """Tell those whose moment has come, and set the timer to the next one that is waited for.

        Those before it, at which nobody is to be told any more, are forgotten.
        """
        loop = asyncio.get_running_loop()
        until = max(self._set_to, loop.time())
        self._set_to, self._timer = inf, None
        over = []
        while self._moments and self._moments[0] <= until:
            over.append(self._due.pop(heappop(self._moments)))
        for due in over:
            _tell_all(due)
        while self._moments and not self._due[self._moments[0]]:
            del self._due[heappop(self._moments)]
        if self._moments and self._moments[0] < self._set_to:
            self._set(self._moments[0], loop=loop)


def _tell_all(due: Due) -> None:
    while due:
        _, tell = due.popitem()
        try:
            tell()
        except Exception:  # the others have to be told all the same
            logger.exception("a question whose time was over could not be settled")
