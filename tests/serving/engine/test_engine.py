"""One version's queries: answered, shared, retried, refused; and nothing of them left behind."""

import asyncio

import pytest

from serving.engine.engine import Engine, EngineSpec
from serving.engine.outcome import Status
from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import FrameType, encode_answers, encode_frame
from serving.testing import ask, batch_by, cache_key, connect, turn


async def test_a_version_nobody_runs_fails_at_once() -> None:
    gather = ask(Engine(EngineSpec()), b"[1]")
    assert gather.outcomes[0].status == Status.NOT_CONNECTED


async def test_a_batch_never_exceeds_the_cap(engine: Engine) -> None:
    replica = connect(engine)
    batch_by(engine, rows=4)
    for n in range(10):
        ask(engine, b"[%d]" % n)
    await turn()
    assert [len(inputs) for _, inputs in replica.batches] == [4, 4]


async def test_an_expired_query_is_dropped_before_it_costs_the_model_anything(
    engine: Engine,
) -> None:
    replica = connect(engine)
    gather = ask(engine, b"[1]", seconds=-1.0)
    await turn()
    assert not replica.batches
    assert gather.outcomes[0].status == Status.EXPIRED
    assert not engine.joinable


async def test_a_cancelled_caller_does_not_disturb_its_batch(engine: Engine) -> None:
    replica = connect(engine)
    batch_by(engine, rows=2)
    leaver, stayer = ask(engine, b"[1]"), ask(engine, b"[2]")
    waiting = asyncio.create_task(leaver.settled(seconds=5.0))
    await turn()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    replica.answer()
    assert stayer.outcomes == [(Status.OK, b"[2]")]
    assert not engine.joinable


async def test_queries_wait_for_a_replica_that_is_expected(engine: Engine) -> None:
    gather = ask(engine, b"[1]")
    replica = connect(engine)
    await turn()
    replica.answer()
    assert gather.answered


async def test_a_query_that_loses_two_replicas_is_given_up(engine: Engine) -> None:
    """It was waiting both times behind the batch that the replica died of."""
    batch_by(engine, rows=1)
    first = connect(engine, name="r1")
    ask(engine, b"[1]")
    gather = ask(engine, b"[2]")
    await turn()
    assert first.sizes == [1, 1]
    first.die()
    ask(engine, b"[3]", seconds=4.0)  # goes before it
    second = connect(engine, name="r2")
    await turn()
    second.answer()
    await turn()
    assert second.sizes == [1, 1]
    second.die()
    assert gather.outcomes[0].status == Status.REPLICA_LOST
    assert cache_key(b"[2]") not in engine.joinable


async def test_a_draining_replica_hands_back_what_it_has_not_sent(engine: Engine) -> None:
    first = connect(engine, name="r1")
    gathers = [ask(engine, b"[%d]" % n) for n in range(6)]
    await turn()
    second = connect(engine, name="r2")
    first.ask_to_drain()
    while first.batches:
        first.answer()
    await turn()
    while second.batches:
        second.answer()
        await turn()
    assert all(gather.outcomes[0].status == Status.OK for gather in gathers)
    assert first.closed


async def test_a_replica_that_goes_on_asking_to_be_drained_breaks_the_protocol(
    engine: Engine,
) -> None:
    """It could keep the event loop busy with it for as long as it owes an answer."""
    replica = connect(engine)
    ask(engine, b"[1]")
    await turn()
    replica.ask_to_drain()
    with pytest.raises(ProtocolError, match="one DRAIN or ERROR of a replica, got DRAIN"):
        replica.ask_to_drain()


async def test_a_full_queue_refuses() -> None:
    engine = Engine(EngineSpec(queue_capacity=3))
    connect(engine)
    gathers = [ask(engine, b"[%d]" % n) for n in range(5)]
    assert [q.outcomes[0].status for q in gathers[3:]] == [Status.SATURATED] * 2
    await turn()


async def test_the_backlog_of_a_version_without_replicas_is_bounded() -> None:
    engine = Engine(EngineSpec(queue_capacity=2))
    engine.expect([1])
    gathers = [ask(engine, b"[%d]" % n) for n in range(3)]
    assert gathers[2].outcomes[0].status == Status.SATURATED


async def test_a_replica_that_dies_draining_leaves_nothing_of_a_version_no_longer_expected(
    engine: Engine,
) -> None:
    leaving = connect(engine)
    gather = ask(engine, b"[1]")
    await turn()
    leaving.ask_to_drain()
    engine.expect([])
    leaving.die()
    assert gather.outcomes[0].status == Status.NOT_CONNECTED
    assert not engine.joinable


async def test_closing_settles_what_waits_and_what_is_under_way(engine: Engine) -> None:
    replica = connect(engine)
    gathers = [ask(engine, b"[%d]" % n) for n in range(5)]
    await turn()
    engine.close()
    assert replica.closed
    assert {q.outcomes[0].status for q in gathers} == {Status.NOT_CONNECTED}
    assert not engine.joinable


async def test_an_answer_to_an_unknown_request_is_a_protocol_error(engine: Engine) -> None:
    replica = connect(engine)
    with pytest.raises(ProtocolError):
        replica.receive(encode_answers(99, [], compute_us=1))
    with pytest.raises(ProtocolError):
        replica.receive(encode_frame(FrameType.PREDICT, 1))


async def test_a_replica_that_cannot_be_written_to_gets_nothing_until_it_can(
    engine: Engine,
) -> None:
    replica = connect(engine)
    replica.writable = False
    ask(engine, b"[1]")
    await turn()
    assert not replica.batches
    replica.writable = True
    replica.replica.on_writable()
    await turn()
    assert replica.batches


async def test_an_input_that_no_frame_can_hold_fails_alone(engine: Engine) -> None:
    replica = connect(engine)
    gather = ask(engine, b"x" * (65 << 20), seconds=60)
    await turn()
    assert gather.outcomes[0].status == Status.INVALID_INPUT
    again = ask(engine, b"[1]")
    await turn()
    replica.answer()
    assert again.answered


async def test_a_replica_that_hangs_is_cut_off_and_its_queries_are_retried(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = connect(engine, name="hanging")
    gather = ask(engine, b"[1]")
    await turn()
    healthy = connect(engine, name="healthy")
    monkeypatch.setattr("serving.engine.replica.HUNG_S", 0.0)
    batch_by(engine, rows=4096, answer_within_s=0.0)

    engine.sweep()
    await turn()
    healthy.answer()
    assert hanging.closed
    assert gather.outcomes[0].status == Status.OK


async def test_expired_queries_make_room_in_the_backlog_behind_a_patient_one() -> None:
    engine = Engine(EngineSpec(queue_capacity=2))
    engine.expect([1])
    ask(engine, b"[0]", seconds=60.0)
    late = ask(engine, b"[1]", seconds=-1.0)
    waiting = ask(engine, b"[2]")
    assert late.outcomes[0].status == Status.NOT_CONNECTED
    assert not waiting.answered


async def test_a_version_is_counted_once_it_has_a_replica_or_is_asked() -> None:
    engine, other = Engine(EngineSpec()), Engine(EngineSpec())
    for each in (engine, other):
        each.expect([1, 2])
        assert not each.is_counted(1)
    connect(engine)
    ask(other, b"[1.0]")
    for each in (engine, other):
        assert each.is_counted(1)
        assert not each.is_counted(2)
