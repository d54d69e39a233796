"""One question at a time in a process, which has queries to answer meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from registry.errors import Saturated

WAIT_FOR_TURN_S = 5.0
TIME_LIMIT_S = 10.0

_turn = BoundedSemaphore(1)


class OutOfTime(Exception):
    """The time for this question is used up."""


@contextmanager
def turn() -> Iterator[None]:
    """Keep others waiting meanwhile; raises `Saturated` where somebody else's takes long."""
    if not _turn.acquire(timeout=WAIT_FOR_TURN_S):
        raise Saturated("Another what-if is being worked out; try again.", retry_after_s=5.0)
    try:
        yield
    finally:
        _turn.release()
