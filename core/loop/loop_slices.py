"""Slices of long work on the event loop: one in each turn of the loop, whoever asks for it.

Uncut, feedback with 500 labels held the loop for 22 to 32 ms, and a batch of 10,000 rows for 500.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

# The longest that others on the loop wait for a slice.
SLICE_S = 0.001


class Turns:
    """Gives one slice in each turn of the loop, in order; a web process has one."""

    def __init__(self, *, slice_s: float = SLICE_S) -> None:
        self.slice_s = slice_s
        self._lock = asyncio.Lock()

    async def next(self) -> None:
        """Wait for a turn of the loop without a slice for another."""
        async with self._lock:
            await asyncio.sleep(0)


class Slice:
    """Slices of one task, which calls `pause` between small pieces of work."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._until = monotonic() + turns.slice_s

    async def pause(self) -> None:
        if monotonic() >= self._until:
            await self._turns.next()
            self._until = monotonic() + self._turns.slice_s


class LaterWork:
    """Short pieces of work for later turns of the loop: a slice in each turn, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def add(self, piece: Callable[[], None]) -> None:
        self._waiting.append(piece)
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        until = monotonic() + SLICE_S
        try:
            while self._waiting:
                self._waiting.popleft()()
                if monotonic() >= until:
                    break
        finally:
            self._scheduled = False
            self._schedule()
