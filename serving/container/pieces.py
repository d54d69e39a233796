"""In which pieces to ask a model again about a batch that it failed on: arithmetic alone."""

from __future__ import annotations

# A batch is given up well before whoever waits takes the replica for hung (10 s at least): what
# waits behind it has waited long enough.
SEARCH_S = 2.0
# Enough to ask about each of the inputs of most batches alone. Among 1,024 inputs a bad one takes
# about 30 calls, and ten of them about 170.
MOST_CALLS = 256


class Pieces:
    """How many inputs to ask about next, from the first to the last, within seconds and calls.

    A piece that fails is halved, and after one that succeeds the next is larger. A model that
    answers single inputs only, or hardly any, is soon asked about one after another.
    """

    def __init__(
        self, *, rows: int, took_s: float, seconds: float = SEARCH_S, calls: int = MOST_CALLS
    ) -> None:
        """`rows` failed together, after `took_s` seconds; `seconds` and `calls` is what is left."""
        self._size = max(1, rows // 2)
        self._seconds = seconds
        self._calls = calls
        # The slowest so far. What raises at once says little; what succeeds says it all.
        self._seconds_per_row = took_s / rows
        self._successes = 0
        # So many pieces of one size have to succeed before a larger one is tried.
        self._patience = 1
        self._grown = False

    def next_size(self, left: int) -> int:
        """Return the size of the next piece, 0 where there is no time or no call for one."""
        if self._calls <= 0 or self._seconds <= 0.0:
            return 0
        size = min(self._size, left)
        if self._seconds_per_row > 0.0:
            affordable = self._seconds / self._seconds_per_row
            # Half of what is left: a piece that fails should leave time to look into it.
            size = min(size, max(int(affordable / 2), min(1, int(affordable))))
        return size

    def succeeded(self, *, rows: int, seconds: float) -> None:
        self._spend(rows=rows, seconds=seconds)
        if self._grown:
            self._patience = max(1, self._patience // 2)
        self._successes += 1
        self._grown = self._successes >= self._patience
        if self._grown:
            self._size = rows * 2
            self._successes = 0

    def failed(self, *, rows: int, seconds: float) -> None:
        self._spend(rows=rows, seconds=seconds)
        if self._grown:
            self._patience *= 2
        self._size = max(1, rows // 2)
        self._successes = 0
        self._grown = False

    def _spend(self, *, rows: int, seconds: float) -> None:
        self._calls -= 1
        self._seconds -= seconds
        self._seconds_per_row = max(self._seconds_per_row, seconds / rows)
