"""Many inputs of one request: asked and answered a few at a time, each for itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

import msgspec

from core.errors import ClipperError, ModelFailed
from core.loop.loop_slices import Slice
from serving.query.budget import ANSWER_TOO_LARGE, MAX_ANSWER_BYTES
from serving.query.query import Query

# Inputs that found no room in a queue are asked about again after this long.
REFUSED_PAUSE_S = 0.050


class InputBatch:
    """Asks about inputs as answers come, with at most `window` open, a slice of the loop at a time.

    A `patient` batch is large: an input that finds no room is asked about again. Others are asked
    about all at once.
    """

    def __init__(
        self,
        inputs: Sequence[bytes | msgspec.Raw],
        *,
        begin: Callable[[bytes], Query],
        render: Callable[[Query | ClipperError], bytes],
        window: Callable[[], int],
        slice: Slice,
        patient: bool = False,
    ) -> None:
        self._inputs = inputs
        self._begin = begin
        self._render = render
        self._window = window
        self._slice = slice
        self._patient = patient
        self._waiting = deque(range(len(inputs)))
        self._open: dict[int, Query] = {}
        self._settled: deque[int] = deque()
        self._refused: list[int] = []
        self._items: list[bytes] = [b""] * len(inputs)
        self._bytes = 0
        self._wake: asyncio.Future[None] | None = None

    async def answer(self) -> list[bytes]:
        """Return each input's answer or error as JSON, in order; cancelled, abandon the rest."""
        room = self._window()
        try:
            if not self._patient:
                self._ask_all()
            while self._waiting or self._open or self._refused:
                if self._settled:
                    self._end(self._settled.popleft())
                elif self._refused:
                    await self._wait_for_room()
                elif self._waiting and len(self._open) < room:
                    self._ask(self._waiting.popleft())
                else:
                    await self._something_settled()
                    room = self._window()
                await self._slice.pause()
        finally:
            for query in self._open.values():
                query.abandon()
        return self._items

    def _ask_all(self) -> None:
        """Ask in one go, so that the rows share a batch."""
        while self._waiting:
            self._ask(self._waiting.popleft())

    def _ask(self, position: int) -> None:
        try:
            query = self._begin(bytes(self._inputs[position]))
        except ClipperError as error:
            self._items[position] = self._render(error)
            return
        self._open[position] = query
        query.when_settled(partial(self._note, position))

    def _note(self, position: int) -> None:
        """Remember that it is settled: whoever settles a whole batch does no more than that."""
        self._settled.append(position)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _end(self, position: int) -> None:
        query = self._open.pop(position)
        if self._patient and query.found_no_room and monotonic() + REFUSED_PAUSE_S < query.deadline:
            self._refused.append(position)
        else:
            self._items[position] = self._rendered(query)

    def _rendered(self, query: Query) -> bytes:
        """Return an input's answer, or its failure if the request's answer would be too large."""
        item = self._render(query)
        if self._bytes + len(item) > MAX_ANSWER_BYTES:
            item = self._render(ModelFailed(ANSWER_TOO_LARGE))
        self._bytes += len(item)
        return item

    async def _something_settled(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake  # each query has a deadline
        finally:
            self._wake = None

    async def _wait_for_room(self) -> None:
        await asyncio.sleep(REFUSED_PAUSE_S)
        self._waiting.extendleft(reversed(self._refused))
        self._refused.clear()
