"""Rows of a large request: asked as answers come, so that a bounded number is open at once."""

import asyncio
from collections import deque
from collections.abc import Callable

from core.loop.loop_slices import Slice

# Rows that found no room in a queue are asked about again after this long.
REFUSED_PAUSE_S = 0.050

Rows = list[int]


class OpenRows:
    """Asks about rows in groups, and holds the event loop for a slice at a time.

    Rows wait here rather than in the engine's queues, where they would take others' room. `ask`
    begins some rows and returns how to abandon them, or None if there is nothing to wait for; it
    calls what it is given once they are settled. `end` takes their answers and returns the rows
    to ask about again, later. `room` says how many rows may be open.
    """

    def __init__(
        self,
        count: int,
        *,
        ask: Callable[[Rows, Callable[[], None]], Callable[[], None] | None],
        end: Callable[[Rows], Rows],
        room: Callable[[], int],
        slice: Slice,
        group: int = 1,
    ) -> None:
        self._ask = ask
        self._end = end
        self._room = room
        self._slice = slice
        self._group = group
        self._waiting = deque(range(count))
        self._open: dict[int, tuple[Rows, Callable[[], None]]] = {}
        self._settled: deque[int] = deque()
        self._wake: asyncio.Future[None] | None = None

    async def answer(self, *, at_once: bool = False) -> None:
        """Return when all rows are answered; cancelled, abandon the rest.

        If `at_once`, all are asked in this turn of the loop, so that they share a batch.
        """
        room = self._room()
        again: Rows = []
        try:
            while at_once and self._waiting:
                self._ask_next()
            while self._waiting or self._open or again:
                if self._settled:
                    rows, _ = self._open.pop(self._settled.popleft())
                    again += self._end(rows)
                elif again:
                    await asyncio.sleep(REFUSED_PAUSE_S)
                    self._waiting.extendleft(reversed(again))
                    again = []
                elif self._waiting and len(self._open) * self._group < room:
                    self._ask_next()
                else:
                    await self._something_settled()
                    room = self._room()
                await self._slice.pause()
        finally:
            for _, abandon in self._open.values():
                abandon()

    def _ask_next(self) -> None:
        rows = [self._waiting.popleft() for _ in range(min(self._group, len(self._waiting)))]
        first = rows[0]

        def settled() -> None:
            # Whoever settles a whole batch does no more than note it.
            self._settled.append(first)
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)

        abandon = self._ask(rows, settled)
        if abandon is not None:
            self._open[first] = rows, abandon

    async def _something_settled(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake  # what is open has a deadline
        finally:
            self._wake = None
