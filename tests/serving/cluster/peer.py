"""Asks a replica over its socket as a web process does, but blocking, which suits a test."""

import socket
from collections import deque
from types import TracebackType
from typing import Self

from serving.rpc.frames.codec import (
    Answer,
    Frame,
    FrameDecoder,
    FrameType,
    decode_answers,
    encode_predict,
)
from serving.rpc.frames.hello import Hello, decode_hello

TIMEOUT_S = 120.0


class Peer:
    """One connection to a replica, open within a `with`."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(address.removeprefix("unix:"))
        self._decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()
        self.hello: Hello = decode_hello(self.next_frame(FrameType.HELLO).body)

    def send(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def ask(self, *inputs: bytes) -> list[Answer]:
        self.send(encode_predict(7, inputs))
        answers, _ = decode_answers(self.next_frame(FrameType.ANSWER).body)
        return answers

    def next_frame(self, expected: FrameType) -> Frame:
        while not self._frames:
            data = self._socket.recv(65536)
            assert data, "the replica closed the connection"
            self._frames.extend(self._decoder.feed(data))
        frame = self._frames.popleft()
        assert frame.type is expected
        return frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._socket.close()
