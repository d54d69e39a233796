"""Long work in pieces, with a pause after each as long as others want the cores."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# Of this thread, since it began: nanoseconds on a core, and waiting for one (sched-stats.rst).
SCHEDSTAT = Path("/proc/thread-self/schedstat")
# Cores are short where a thread waits this part of the time in which it could work.
SHORT = 0.3
# So much of what was seen before counts beside each piece: it takes several to tell.
KEPT = 0.95

Reading = tuple[int, int]


def core_times() -> Reading | None:
    """Return how long this thread has run and waited, in ns; None where no kernel tells."""
    try:
        run, waited, _ = SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        return None
    return int(run), int(waited)


class Backoff:
    """Of one thread, which calls it after each piece; a pause takes `pause_s`."""

    def __init__(self, *, pause_s: float, read: Callable[[], Reading | None] = core_times) -> None:
        self._pause_s = pause_s
        self._read = read
        self._before: Reading | None = None
        self._run = self._waited = 0.0

    def __call__(self) -> None:
        """Return at once where there are cores for everybody, else after a pause."""
        if self.pauses():
            time.sleep(self._pause_s)

    def pauses(self) -> bool:
        """Whether it has waited much for a core lately."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None:
            return False
        self._run = KEPT * self._run + self._before[0] - before[0]
        self._waited = KEPT * self._waited + self._before[1] - before[1]
        return self._waited > SHORT * (self._run + self._waited)
