"""The deadlines of questions that wait: a timer for each millisecond, not for each question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

# From so many seconds on, deadlines are drawn together by this many milliseconds, to the earlier
# side: what is left of empty milliseconds must not pile up.
LONG_S = 1.0
LONG_GRAIN_MS = 16

logger = logging.getLogger(__name__)

# Those who are told at one moment, by what they are known by when they need not be any more.
Due = dict[object, Callable[[], None]]


class Deadlines:
    """Calls whoever still waits when its time is over, to the millisecond as any timer here."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due: dict[int, Due] = {}

    def watch(self, who: object, *, seconds: float, tell: Callable[[], None]) -> Due:
        """Call `tell` after `seconds`, unless `who` is removed from what is returned before."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        tick = round((now + seconds) * 1e3)
        if seconds >= LONG_S:
            tick -= tick % LONG_GRAIN_MS
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = {}
            loop.call_later(tick / 1e3 - now, self._tell, tick)
        due[who] = tell
        return due

    def _tell(self, tick: int) -> None:
        due = self._due.pop(tick)
        while due:
            _, tell = due.popitem()
            try:
                tell()
            except Exception:  # the others have to be told all the same
                logger.exception("a question whose time was over could not be settled")
