"""A replica that says that it works on several batches at once is sent as many."""

import msgspec
import pytest

from serving.engine.batching.planner import RESERVE
from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import CallOptions
from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import HEADER
from serving.rpc.frames.hello import MOST_AT_ONCE, Hello, decode_hello, encode_hello
from serving.testing import AdjustableClock, ask, connect, hello_of, turn, version_spec

AT_ONCE = 3
UNCACHED = CallOptions(cached=False)


def engine(clock: AdjustableClock | None = None) -> Engine:
    return Engine(EngineSpec(queue_capacity=100), clock=clock or AdjustableClock())


async def test_it_is_sent_as_many_as_it_works_on_and_answers_in_any_order() -> None:
    asking = engine()
    played = connect(asking, concurrency=AT_ONCE)
    gathers = []
    for number in range(5):
        gathers.append(ask(asking, b"[%d]" % number))
        await turn()
    assert [inputs for _, inputs in played.batches] == [[b"[0]"], [b"[1]"], [b"[2]"]]
    played.batches.insert(0, played.batches.pop(2))
    played.answer()
    await turn()
    # What has waited goes together, in the place that has become free.
    assert [inputs for _, inputs in played.batches] == [[b"[0]"], [b"[1]"], [b"[3]", b"[4]"]]
    assert [gather.answered for gather in gathers] == [False, False, True, False, False]


async def test_a_batch_beside_others_has_taken_its_own_time() -> None:
    clock = AdjustableClock()
    asking = engine(clock)
    played = connect(asking, concurrency=AT_ONCE)
    for _ in range(20):
        for number in range(AT_ONCE):
            ask(asking, b"[%d]" % number, seconds=1e6, options=UNCACHED)
            await turn()
            clock.advance(100.0)
        for _ in range(AT_ONCE):
            played.answer()
            clock.advance(100.0)
            await turn()
    # Each was under way for 300 s, however many others were.
    seconds = played.replica.planner.batch_seconds(1) / RESERVE
    assert seconds == pytest.approx(300.0, rel=0.05)


async def test_while_there_is_room_a_query_waits_for_nobody() -> None:
    clock = AdjustableClock()
    asking = engine(clock)
    played = connect(asking, concurrency=2)
    ask(asking, b"[1]")
    await turn()
    alone = played.replica.planner.queue_seconds(1)
    assert played.replica.seconds_until_answer(behind=0, now=clock()) == alone


def test_a_hello_without_it_is_of_one_batch_and_one_of_too_many_is_refused() -> None:
    said = msgspec.json.decode(encode_hello(hello_of(version_spec(1)))[HEADER.size :])
    del said["concurrency"]
    assert decode_hello(msgspec.json.encode(said)).concurrency == 1
    for wrong in (0, MOST_AT_ONCE + 1):
        with pytest.raises(ProtocolError):
            decode_hello(msgspec.json.encode(said | {"concurrency": wrong}))
    assert Hello(**said).concurrency == 1
