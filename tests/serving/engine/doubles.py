"""A replica's end of a connection, played by the test, and what tests of the engine ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

from registry.specs import BatchingSpec, VersionSpec
from serving.engine.deadlines import Deadlines
from serving.engine.engine import Engine, VersionSettings
from serving.engine.gather import ORDINARY, Call, CallOptions, Gather
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
    failed,
)

VERSION = VersionSpec(
    id=1,
    model_id=1,
    model="m",
    version="1",
    runtime="sklearn",
    input_type="doubles",
    digest="0" * 64,
    device="cpu",
    replicas=1,
    allow_pickle=False,
    generation=1,
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

    def die(self) -> None:
        """Be gone all at once, with whatever it was working on."""
        self.closed = True
        self.batches.clear()
        self.replica.on_lost(ConnectionLost("killed"))

    @property
    def sizes(self) -> list[int]:
        """How many rows each open batch has."""
        return [len(inputs) for _, inputs in self.batches]

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

    def fail(self) -> None:
        """Fail the whole of the oldest open batch."""
        self.answer_with(*[failed("ValueError: no")] * self.sizes[0])

    def ask_to_drain(self) -> None:
        self.receive(encode_frame(FrameType.DRAIN, 0))

    def receive(self, data: bytes) -> None:
        for frame in FrameDecoder().feed(data):
            self.replica.on_frame(frame)


def connect(
    engine: Engine,
    *,
    version_id: int = 1,
    name: str = "r1",
    connection: FakeConnection | None = None,
) -> FakeConnection:
    connection = connection or FakeConnection()
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


async def turn() -> None:
    """Let everything that is scheduled run."""
    for _ in range(3):
        await asyncio.sleep(0)


def ask(
    engine: Engine,
    input: bytes,
    *,
    seconds: float = 5.0,
    options: CallOptions = ORDINARY,
    traced: bool = False,
) -> Gather:
    """Ask version 1, to be answered within `seconds`."""
    gather = Gather(calls=1, deadlines=engine.deadlines, traced=traced)
    engine.ask(
        VERSION,
        key=b"1:" + input if options.cached else None,
        input=input,
        deadline=monotonic() + seconds,
        gather=gather,
        index=0,
        options=options,
    )
    return gather


def new_call(
    input: bytes = b"[1]", *, deadline: float = 1.0, tenant: int = 0, priority: int = 1
) -> Call:
    """A call that one question waits for."""
    options = CallOptions(tenant=tenant, priority=priority)
    call = Call(key=None, input=input, asked_at=0.0, deadline=deadline, options=options)
    call.join(Gather(calls=1, deadlines=Deadlines()), index=0, deadline=deadline)
    return call


def batch_by(
    engine: Engine, *, rows: int, wait_ms: float | None = 0.0, answer_within_s: float = 5.0
) -> None:
    """Give every batch of version 1 up to `rows` rows."""
    batching = BatchingSpec(controller="static", max_size=rows, wait_ms=wait_ms)
    engine.configure({1: VersionSettings(batching=batching, answer_within_s=answer_within_s)})


def teach(
    replica: FakeConnection, *, per_row: float, fixed: float = 0.0, sizes: Iterable[int] = (1, 2, 4)
) -> None:
    """Let the replica have shown that a batch takes `fixed + per_row * size` seconds."""
    for _ in range(10):
        for size in sizes:
            seconds = fixed + per_row * size
            replica.replica.planner.record(rows=size, queued=0.0, seconds=seconds, elapsed=seconds)
