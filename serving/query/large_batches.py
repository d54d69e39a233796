"""How many large batches are answered at once."""

from __future__ import annotations

from core.errors import Saturated

# Each holds its inputs and its answers in memory until the last one has come.
MAX_LARGE_BATCHES = 16
LARGE_RETRY_S = 1.0


class LargeBatches:
    """Counts the large batches that are being answered; one too many is refused on entering."""

    def __init__(self) -> None:
        self._open = 0

    def __enter__(self) -> None:
        if self._open >= MAX_LARGE_BATCHES:
            raise Saturated(
                f"Expected at most {MAX_LARGE_BATCHES} large batches at once.",
                retry_after_s=LARGE_RETRY_S,
            )
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1
