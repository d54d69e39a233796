"""Batches to another process on this machine, one after the other, and its answers."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import (
    Answer,
    Frame,
    FrameDecoder,
    FrameType,
    decode_answers,
    encode_predict,
)
from serving.rpc.frames.hello import Hello, decode_hello
from serving.rpc.text import safe_text

STARTED_WITHIN_S = 60.0
# Longer than any batch may take: whoever watches this process has ended it before.
ANSWERED_WITHIN_S = 600.0
# How a replica's process ends that lost the process of its model.
EX_SOFTWARE = 70

# A buffer of this size that is made anew for each read costs more than the system call.
_READ_BYTES = 256 * 1024
_TIMEVAL = struct.Struct("@ll")


Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a replica's batches; `in_flight` counts batches under way or waiting."""

    queries: Count = 0
    batches: Count = 0
    batch_size: Count = 0
    in_flight: Count = 0
    last_error: str | None = None


class ChildLink:
    """A blocking connection to whoever runs the model."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = bytearray(_READ_BYTES)
        _let_wait(connected, seconds=ANSWERED_WITHIN_S)
        self._decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()

    @classmethod
    def to(cls, path: Path) -> ChildLink:
        """Connect to a Unix socket."""
        connecting = socket.socket(socket.AF_UNIX)
        try:
            connecting.settimeout(STARTED_WITHIN_S)
            connecting.connect(str(path))
        except BaseException:
            connecting.close()
            raise
        return cls(connecting)

    def hello(self) -> Hello:
        """Read the HELLO that comes first; raises OSError where it doesn't come in time."""
        try:
            _let_wait(self._socket, seconds=STARTED_WITHIN_S)
            return decode_hello(self._next(FrameType.HELLO).body)
        except BaseException:
            self._socket.close()
            raise
        finally:
            if self._socket.fileno() >= 0:
                _let_wait(self._socket, seconds=ANSWERED_WITHIN_S)

    def ask(self, request_id: int, inputs: Sequence[bytes]) -> list[Answer]:
        self._socket.sendall(encode_predict(request_id, inputs))
        answers: list[Answer] = []
        while True:
            frame = self._next(FrameType.ANSWER, FrameType.PART)
            part, _ = decode_answers(frame.body)
            answers += part
            last = frame.type is FrameType.ANSWER
            missing = len(inputs) - len(answers)
            if frame.request_id != request_id or missing < 0 or (last and missing):
                raise ProtocolError(
                    f"expected {len(inputs)} answers to request {request_id}, "
                    f"got {len(answers)} to {frame.request_id}"
                )
            if last:
                return answers

    def close(self) -> None:
        self._socket.close()

    def _next(self, *expected: FrameType) -> Frame:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.type in expected:
                    return frame
                if frame.type is not FrameType.DRAIN:  # whether to drain is not its decision
                    said = safe_text(frame.body[:1000].decode(errors="replace"))
                    names = " or ".join(frame_type.name for frame_type in expected)
                    raise ProtocolError(f"expected {names}, got {frame.type.name} {said}")
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise ConnectionLost("the model's process closed the connection")
            self._frames.extend(self._decoder.feed(memoryview(self._buffer)[:size].tobytes()))


def _let_wait(connected: socket.socket, *, seconds: float) -> None:
    """Have the kernel bound each wait: Python's own timeouts ask it twice for every read."""
    connected.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connected.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(int(seconds), 0))
