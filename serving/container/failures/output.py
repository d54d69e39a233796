"""Output that never fails whoever prints: what there is no room for is dropped."""

from __future__ import annotations

import io
import os
import sys
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# For so long the last words of a process that has ended are waited for.
READ_WITHIN_S = 1.0
CHUNK = 65536


class Output(io.FileIO):
    """A descriptor of this process, which is left open; that its disk is full is no error."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, text: ReadableBuffer, /) -> int:
        left = memoryview(text).cast("B")
        size = len(left)
        with suppress(OSError):
            # None: nobody reads it.
            while left and (written := super().write(left)):
                left = left[written:]
        return size


def stream_to(descriptor: int) -> TextIO:
    """Each line at once: a model that is killed should not take its last words along."""
    return io.TextIOWrapper(
        io.BufferedWriter(Output(descriptor)),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


class Overheard:
    """Passes a child's output on to this process's own, wherever that goes at the moment."""

    def __init__(self, pipe: IO[bytes], *, name: str) -> None:
        self._pipe = pipe
        self._last = b""
        self._thread = threading.Thread(target=self._pass_on, name=name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the last words of an ended child are out, for a second at most."""
        self._thread.join(READ_WITHIN_S)

    def last_words(self) -> str:
        """Return the end of its output."""
        return self._last.decode(errors="replace")

    def _pass_on(self) -> None:
        output = Output(2)
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), CHUNK):
                with suppress(OSError):
                    sys.stderr.flush()
                output.write(chunk)
                # For the reason of its end and where it was then.
                self._last = (self._last + chunk)[-16384:]


def required_pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    """A process's pipe that was asked for when it was started."""
    assert pipe is not None  # noqa: S101  # for mypy
    return pipe
