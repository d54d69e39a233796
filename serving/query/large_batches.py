"""Large batches: the terms of their rows, which are asked a bounded number at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from core.errors import Saturated
from core.loop.loop_slices import Slice
from core.specs import ApplicationSpec
from serving.engine.engine import Engine
from serving.engine.gather import LAST_PRIORITY, CallOptions
from serving.query.budget import batch_objective_ms, seconds_to_answer

# Rows open at once, or three batches of the arm that takes most, which keep its replicas busy.
LEAST_OPEN = 64
# Each holds its inputs and answers in memory until the last one has come.
MAX_LARGE_BATCHES = 16
# Rows that found no room in a queue are asked about again after this long.
REFUSED_PAUSE_S = 0.050

Rows = list[int]


class Allowance(NamedTuple):
    """Objective and deadline of a large batch, and the terms of its rows."""

    objective_ms: float
    deadline: float
    options: CallOptions


def allowance_for(
    application: ApplicationSpec,
    *,
    options: CallOptions,
    inputs: int,
    arrived: float,
    timeout_ms: float | None,
) -> Allowance:
    """Return the terms of a large batch, whose rows go behind every single query."""
    objective_ms = batch_objective_ms(application.slo_ms, inputs=inputs)
    if timeout_ms is not None:
        objective_ms = min(objective_ms, timeout_ms)
    return Allowance(
        objective_ms,
        arrived + seconds_to_answer(objective_ms),
        replace(options, priority=LAST_PRIORITY),
    )


def rows_open(engine: Engine, versions: Iterable[int], *, most: int = 1024) -> int:
    """Return how many rows for these versions may be open at once."""
    at_once = max(map(engine.rows_at_once, versions), default=0)
    return max(LEAST_OPEN, min(3 * at_once, most))


class LargeBatches:
    """Counts the large batches being answered; entering one too many raises Saturated."""

    def __init__(self) -> None:
        self._open = 0

    def __enter__(self) -> None:
        if self._open >= MAX_LARGE_BATCHES:
            raise Saturated(
                f"Expected at most {MAX_LARGE_BATCHES} large batches at once.", retry_after_s=1.0
            )
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1


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
