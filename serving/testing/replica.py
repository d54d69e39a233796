"""A replica that is played: an engine sends it batches, and its test answers them."""

from core.specs import VersionSpec
from serving.engine.engine import Engine
from serving.engine.replica import Replica
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames.codec import (
    Answer,
    AnswerStatus,
    FrameDecoder,
    FrameType,
    decode_predict,
    encode_answers,
    encode_frame,
    failed,
)
from serving.testing.specs import hello_of, version_spec


class PlayedReplica:
    """The far end of a connection (`serving.engine.replica.Link`) without a socket.

    `batches` are those that it was sent and has not answered, as (request id, inputs). What the
    engine knows of it is `replica`, from `connect` on.
    """

    replica: Replica

    def __init__(self) -> None:
        self.writable = True
        self.closed = False
        self.batches: list[tuple[int, list[bytes]]] = []
        self._decoder = FrameDecoder()

    def connect_to(
        self, engine: Engine, *, version: VersionSpec, name: str = "r1", concurrency: int = 1
    ) -> None:
        """Be a replica of this version from now on."""
        hello = hello_of(version, replica=name, concurrency=concurrency)
        self.replica = engine.add_replica(hello, self)

    # What the engine calls.

    def send(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            if frame.type is not FrameType.PREDICT:
                raise AssertionError(f"expected PREDICT from an engine, got {frame.type!r}")
            inputs = [bytes(raw) for raw in decode_predict(frame.body)]
            self.batches.append((frame.request_id, inputs))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.replica.on_lost(None)

    def abort(self) -> None:
        self.closed = True
        self.replica.on_lost(None)  # as whenever it is this side that ends it

    # What its test has it do.

    @property
    def sizes(self) -> list[int]:
        """Return the rows of each open batch."""
        return [len(inputs) for _, inputs in self.batches]

    def answer(self, outputs: dict[bytes, bytes] | None = None) -> list[bytes]:
        """Answer the oldest batch, each input with itself or by `outputs`; return them."""
        request, inputs = self.batches.pop(0)
        outputs = outputs or {}
        answers = [Answer(AnswerStatus.OK, outputs.get(raw, raw)) for raw in inputs]
        self.receive(encode_answers(request, answers, compute_us=100))
        return inputs

    def answer_with(self, *answers: Answer) -> None:
        """Answer the oldest open batch so."""
        request, _ = self.batches.pop(0)
        self.receive(encode_answers(request, list(answers), compute_us=100))

    def fail(self) -> None:
        """Fail the whole of the oldest open batch."""
        self.answer_with(*[failed("ValueError: no")] * self.sizes[0])

    def ask_to_drain(self) -> None:
        """Want no more batches, and answer those that it has."""
        self.receive(encode_frame(FrameType.DRAIN, 0))

    def block(self) -> None:
        """Take no more for now, as one whose socket is full."""
        self.writable = False

    def unblock(self) -> None:
        self.writable = True
        self.replica.on_writable()

    def die(self) -> None:
        """Be gone all at once, with whatever it was working on."""
        self.closed = True
        self.batches.clear()
        self.replica.on_lost(ConnectionLost("killed"))

    def receive(self, data: bytes) -> None:
        """Have the engine receive these frames."""
        for frame in FrameDecoder().feed(data):
            self.replica.on_frame(frame)


def connect(
    engine: Engine, *, version_id: int = 1, name: str = "r1", concurrency: int = 1
) -> PlayedReplica:
    """Connect a new replica of this version to the engine, and return it."""
    replica = PlayedReplica()
    replica.connect_to(engine, version=version_spec(version_id), name=name, concurrency=concurrency)
    return replica
