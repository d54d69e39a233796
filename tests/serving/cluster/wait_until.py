"""Waits, with a deadline, until something that another process does has come true."""

import time
from collections.abc import Callable
from typing import TypeVar

# A look asks Redis and the database: often enough, and the machine has time for what is waited for.
PAUSE_S = 0.04

T = TypeVar("T")


def wait_for(
    look: Callable[[], T | None],
    *,
    within_s: float = 120.0,
    what: str | Callable[[], str] = "",
) -> T:
    """Return what `look` sees as soon as it is something (true).

    `what` is waited for; a function says at the deadline what there is instead.
    """
    deadline = time.monotonic() + within_s
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {within_s:g} s: {text or look}")
        time.sleep(PAUSE_S)
