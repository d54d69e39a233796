"""Many inputs of one request, each answered for itself."""

from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from core.errors import ClipperError, ModelFailed
from core.loop.loop_slices import Slice
from serving.query.budget import ANSWER_TOO_LARGE, MAX_ANSWER_BYTES
from serving.query.large_batches import REFUSED_PAUSE_S, OpenRows, Rows
from serving.query.query import Query


class InputBatch:
    """Has each input begun as a query and rendered once that is settled.

    In a `patient` batch, inputs whose query found no room are asked about again. Any other batch is
    small and asked at once.
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
        self._patient = patient
        self._queries: dict[int, Query] = {}
        self._items: list[bytes] = [b""] * len(inputs)
        self._bytes = 0
        self._rows = OpenRows(len(inputs), ask=self._ask, end=self._end, room=window, slice=slice)

    async def answer(self) -> list[bytes]:
        """Return each input's answer or error as JSON, in order; cancelled, abandon the rest."""
        await self._rows.answer(at_once=not self._patient)
        return self._items

    def _ask(self, rows: Rows, settled: Callable[[], None]) -> Callable[[], None] | None:
        (position,) = rows
        try:
            query = self._begin(bytes(self._inputs[position]))
        except ClipperError as error:
            self._items[position] = self._render(error)
            return None
        self._queries[position] = query
        query.when_settled(settled)
        return query.abandon

    def _end(self, rows: Rows) -> Rows:
        (position,) = rows
        query = self._queries.pop(position)
        if self._patient and query.found_no_room and monotonic() + REFUSED_PAUSE_S < query.deadline:
            return rows
        item = self._render(query)
        if self._bytes + len(item) > MAX_ANSWER_BYTES:
            item = self._render(ModelFailed(ANSWER_TOO_LARGE))
        self._bytes += len(item)
        self._items[position] = item
        return []
