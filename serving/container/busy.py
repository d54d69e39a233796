"""Since when a model works on a batch, in memory that its process shares with the replica's.

So the replica's hears of a batch that never ends without the help of the model, which may keep the
interpreter to itself. It reads a file, since what is mapped may be cut short by the other side.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from serving.container.predictor import BatchPredictor
from serving.rpc.frames import Answer

# Monotonic time, 0.0 where there is no batch.
_SINCE = struct.Struct("@d")
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def new_memory() -> IO[bytes]:
    """Memory to share by its descriptor, with no batch in it."""
    if hasattr(os, "memfd_create"):
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        memory: IO[bytes] = os.fdopen(os.memfd_create("clipper-busy", flags), "r+b", buffering=0)
        memory.write(_SINCE.pack(0.0))
        # The model has it too, and could keep any amount of memory in it.
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        return memory
    memory = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # it is its user's to close
    memory.write(_SINCE.pack(0.0))
    return memory


def busy_for(memory: IO[bytes]) -> float:
    """For how many seconds the batch under way has been, 0.0 where there is none.

    A model may write there what it likes, and so seem idle, or too slow to be kept.
    """
    written = os.pread(memory.fileno(), _SINCE.size, 0)
    if len(written) < _SINCE.size:
        return 0.0
    (since,) = _SINCE.unpack(written)
    return time.monotonic() - since if since > 0.0 else 0.0


class BusyPredictor:
    """A predictor that writes down since when it works."""

    def __init__(self, predictor: BatchPredictor, *, descriptor: int) -> None:
        self._predictor = predictor
        self._memory = mmap.mmap(descriptor, _SINCE.size)

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        _SINCE.pack_into(self._memory, 0, time.monotonic())
        try:
            return self._predictor.answer_batch(inputs)
        finally:
            _SINCE.pack_into(self._memory, 0, 0.0)
