"""Batches to another process on this machine, one after the other, and its answers."""

from __future__ import annotations

import socket
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
# One byte from a replica's process to its model's: a peer's stream comes with it (SCM_RIGHTS), or
# it asks to drain. The end of the channel is the end of the work.
STREAM, DRAIN = b"s", b"d"

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
        connected.settimeout(ANSWERED_WITHIN_S)
        self._decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()

    @classmethod
    def to(cls, path: Path) -> tuple[ChildLink, Hello]:
        """Connect to a Unix socket and read the HELLO that comes first.

        Raises OSError if it doesn't come in time.
        """
        connecting = socket.socket(socket.AF_UNIX)
        try:
            link = cls(connecting)
            connecting.settimeout(STARTED_WITHIN_S)
            connecting.connect(str(path))
            hello = decode_hello(link._next(FrameType.HELLO).body)
            connecting.settimeout(ANSWERED_WITHIN_S)
        except BaseException:
            connecting.close()
            raise
        return link, hello

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
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionLost("the model's process closed the connection")
            self._frames.extend(self._decoder.feed(data))
