"""Bisection of a batch that a model failed on: arithmetic alone."""


class Bisection:
    """Sizes of the pieces of a failed batch: halved if one fails or would take too long."""

    def __init__(self, *, rows: int, took_s: float, seconds: float) -> None:
        """The batch of `rows` failed after `took_s`; the search may take `seconds`."""
        self._seconds = seconds
        self._pieces = [rows]
        # The slowest so far: a failure at once says little, a success all.
        self._seconds_per_row = took_s / rows
        self._halve()

    def next_size(self) -> int:
        """Return the size of the next piece, 0 if there is none or no time for it."""
        while self._pieces and self._seconds_per_row * self._pieces[-1] > self._seconds:
            if self._pieces[-1] == 1:
                return 0
            self._halve()
        return self._pieces[-1] if self._pieces and self._seconds > 0.0 else 0

    def succeeded(self, *, seconds: float) -> None:
        self._spend(seconds, rows=self._pieces.pop())

    def failed(self, *, seconds: float) -> None:
        self._spend(seconds, rows=self._pieces[-1])
        self._halve()

    def _halve(self) -> None:
        """Replace the next piece by its halves; a single input has none."""
        size = self._pieces.pop()
        if size > 1:
            self._pieces += [size - size // 2, size // 2]

    def _spend(self, seconds: float, *, rows: int) -> None:
        self._seconds -= seconds
        self._seconds_per_row = max(self._seconds_per_row, seconds / rows)
