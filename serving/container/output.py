"""Output that never fails whoever prints: what there is no room for is dropped, and counted."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOST = "[{} bytes of output were lost here: {}]\n"


class Output(io.FileIO):
    """A descriptor of this process, which is left open; that its disk is full is no error.

    The first that fits again comes after a line that says how much is missing. One thread at a
    time may write.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._lost_bytes = 0
        self._reason = ""

    def write(self, text: ReadableBuffer, /) -> int:
        left = memoryview(text).cast("B")
        size = len(left)
        try:
            self._tell_of_loss()
            while left:
                left = left[self._some(left) :]
        except OSError as error:
            self._lost_bytes += len(left)
            self._reason = error.strerror or type(error).__name__
        return size

    def _tell_of_loss(self) -> None:
        if self._lost_bytes:
            line = LOST.format(self._lost_bytes, self._reason).encode()
            while line:
                line = line[self._some(line) :]
            self._lost_bytes = 0

    def _some(self, text: ReadableBuffer) -> int:
        written: int | None = super().write(text)
        if not written:
            raise BlockingIOError("nobody reads it")
        return written


def stream_to(descriptor: int) -> TextIO:
    """Each line at once: a model that is killed should not take its last words along."""
    return io.TextIOWrapper(
        io.BufferedWriter(Output(descriptor)),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )
