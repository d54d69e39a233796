"""Answers of one batch that come in several frames."""

import pytest

from serving.engine.engine import Engine
from serving.engine.outcome import Status
from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import Answer, AnswerStatus, FrameType, encode_answers
from serving.testing import PlayedReplica, ask, batch_by, connect, trace_of, turn


@pytest.fixture
def replica(engine: Engine) -> PlayedReplica:
    batch_by(engine, rows=8)
    return connect(engine)


def part(replica: PlayedReplica, count: int) -> None:
    """Answer the next of the oldest batch, which stays open; they are taken out of the double's."""
    request, inputs = replica.batches[0]
    answers = [Answer(AnswerStatus.OK, input) for input in inputs[:count]]
    replica.batches[0] = (request, inputs[count:])
    replica.receive(encode_answers(request, answers, compute_us=100, frame_type=FrameType.PART))


async def test_the_first_are_answered_before_the_last_have_come(
    engine: Engine, replica: PlayedReplica
) -> None:
    gathers = [ask(engine, b"[%d]" % n, traced=True) for n in range(5)]
    await turn()
    part(replica, 2)
    assert [gather.answered for gather in gathers] == [True, True, False, False, False]
    assert engine.in_flight(1) == 3
    part(replica, 1)
    replica.answer()
    assert [q.outcomes[0] for q in gathers] == [(Status.OK, b"[%d]" % n) for n in range(5)]
    assert [trace_of(q).batch_size for q in gathers] == [5] * 5
    assert engine.in_flight(1) == 0
    assert not engine.joinable


async def test_where_the_replica_dies_meanwhile_only_the_rest_is_asked_again(
    engine: Engine, replica: PlayedReplica
) -> None:
    gathers = [ask(engine, b"[%d]" % n) for n in range(5)]
    await turn()
    part(replica, 3)
    replica.die()
    other = connect(engine, name="r2")
    asked = []
    await turn()
    while other.batches:
        asked += other.answer()
        await turn()
    assert sorted(asked) == [b"[3]", b"[4]"]
    assert all(gather.outcomes[0].status == Status.OK for gather in gathers)


@pytest.mark.parametrize("count", [0, 5, 6])
async def test_a_part_of_none_or_all_of_the_answers_breaks_the_protocol(
    engine: Engine, replica: PlayedReplica, count: int
) -> None:
    for n in range(5):
        ask(engine, b"[%d]" % n)
    await turn()
    request, _ = replica.batches[0]
    answers = [Answer(AnswerStatus.OK, b"1")] * count
    with pytest.raises(ProtocolError, match="expected 1 to 4 answers in a PART, got"):
        replica.receive(encode_answers(request, answers, compute_us=1, frame_type=FrameType.PART))
