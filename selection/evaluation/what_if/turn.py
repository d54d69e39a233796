"""One question at a time in a process, which has queries to answer meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from time import monotonic, thread_time

from core.errors import Saturated

WAIT_FOR_TURN_S = 5.0
# Of a processor.
TIME_LIMIT_S = 10.0
# Where others leave so little of the processor, an answer takes this many times the limit at most.
LONGEST = 12.0

_turn = BoundedSemaphore(1)


class OutOfTime(Exception):
    """The time for this question is used up."""


def time_spent() -> Callable[[], float]:
    """Return a clock of the processor time that this thread has used from now on.

    On a busy machine the console, which is nice, hardly gets a core: by the wall clock its time
    would be over before it has begun. So that clock counts too, but slowly.
    """
    wall, processor = monotonic(), thread_time()
    return lambda: max(thread_time() - processor, (monotonic() - wall) / LONGEST)


@contextmanager
def turn() -> Iterator[None]:
    """Keep others waiting meanwhile; raises `Saturated` where somebody else's takes long."""
    if not _turn.acquire(timeout=WAIT_FOR_TURN_S):
        raise Saturated("Another what-if is being worked out; try again.", retry_after_s=5.0)
    try:
        yield
    finally:
        _turn.release()
