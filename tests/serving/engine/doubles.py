"""A replica's end of a connection, played by the test."""

from __future__ import annotations

from serving.engine.engine import Engine
from serving.engine.replica import Replica
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames import (
    Answer,
    AnswerStatus,
    FrameDecoder,
    FrameType,
    Hello,
    decode_predict,
    encode_answers,
    encode_frame,
)


class FakeConnection:
    """Collects the batches that a Replica sends; `answer` sends answers back."""

    def __init__(self) -> None:
        self.writable = True
        self.closed = False
        self.batches: list[tuple[int, list[bytes]]] = []
        self.replica: Replica | None = None
        self._decoder = FrameDecoder()

    def send(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            assert frame.type is FrameType.PREDICT
            inputs = [bytes(one) for one in decode_predict(frame.body)]
            self.batches.append((frame.request_id, inputs))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.replica.on_lost(None)

    def abort(self) -> None:
        self.closed = True
        self.replica.on_lost(ConnectionLost("cut"))

    def answer(self, outputs: dict[bytes, bytes] | None = None) -> list[bytes]:
        """Answer the oldest open batch, each input with itself unless `outputs` says other."""
        request, inputs = self.batches.pop(0)
        outputs = outputs or {}
        answers = [Answer(AnswerStatus.OK, outputs.get(one, one)) for one in inputs]
        self.receive(encode_answers(request, answers, compute_us=100))
        return inputs

    def answer_with(self, *answers: Answer) -> None:
        request, _ = self.batches.pop(0)
        self.receive(encode_answers(request, list(answers), compute_us=100))

    def ask_to_drain(self) -> None:
        self.receive(encode_frame(FrameType.DRAIN, 0))

    def receive(self, data: bytes) -> None:
        for frame in FrameDecoder().feed(data):
            self.replica.on_frame(frame)


def connect(engine: Engine, *, version_id: int = 1, name: str = "r1") -> FakeConnection:
    connection = FakeConnection()
    hello = Hello(
        replica=name,
        model="m",
        version=str(version_id),
        version_id=version_id,
        generation=1,
        input_type="doubles",
    )
    connection.replica = engine.add_replica(hello, connection)
    return connection
