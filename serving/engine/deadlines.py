"""The deadlines of questions that wait: a timer for each millisecond, not for each question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

# Deadlines that are so many seconds away are drawn together to multiples of so many, always to the
# earlier side: nothing is answered after its deadline. What is left of empty ones must not pile up.
LONG_S, LONG_GRAIN_S = 1.0, 0.016
SHORT_S, SHORT_GRAIN_S = 0.016, 0.001

logger = logging.getLogger(__name__)

# Those who are told at one moment, by what they are known by when they need not be any more.
Due = dict[object, Callable[[], None]]


class Deadlines:
    """Calls whoever still waits when its time is over, or up to a sixteenth of it before."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due: dict[float, Due] = {}

    @property
    def timers(self) -> int:
        """How many moments there are at which somebody, or nobody any more, is told."""
        return len(self._due)

    def watch(self, who: object, *, seconds: float, tell: Callable[[], None]) -> Due:
        """Call `tell` after `seconds`, unless `who` is removed from what is returned before."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if seconds >= LONG_S:
            at -= at % LONG_GRAIN_S
        elif seconds >= SHORT_S:
            at -= at % SHORT_GRAIN_S
        due = self._due.get(at)
        if due is None:
            due = self._due[at] = {}
            loop.call_at(at, self._tell, at)
        due[who] = tell
        return due

    def _tell(self, at: float) -> None:
        due = self._due.pop(at)
        while due:
            _, tell = due.popitem()
            try:
                tell()
            except Exception:  # the others have to be told all the same
                logger.exception("a question whose time was over could not be settled")
