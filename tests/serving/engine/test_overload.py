"""A query that can't be answered in time is refused at once, and only that one."""

from collections.abc import AsyncIterator

import pytest

from serving.engine.batching.planner import RESERVE
from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Status
from serving.testing import ask, batch_by, connect, teach, turn

# Four rows a batch, and a tenth in reserve: two full batches are answered within the time there is.
ROW, SECONDS, FIT = 10.0, 100.0, 8
FLOODED, OTHER = CallOptions(tenant=1, cached=False), CallOptions(tenant=2, cached=False)
HIGH, LOW = (CallOptions(tenant=3, priority=priority, cached=False) for priority in (0, 2))


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine(EngineSpec())
    made.expect([1])
    batch_by(made, rows=4)
    yield made
    await turn()


def flood(engine: Engine, *, rows: int = 30, options: CallOptions = FLOODED) -> list[Gather]:
    return [ask(engine, b"[%d]" % n, seconds=SECONDS, options=options) for n in range(rows)]


def refused(gather: Gather) -> bool:
    return gather.outcomes[0] is not None and gather.outcomes[0].status == Status.OVERLOADED


async def test_what_would_be_answered_too_late_is_refused_at_once(engine: Engine) -> None:
    teach(connect(engine), per_row=ROW)
    gathers = flood(engine)
    assert [refused(gather) for gather in gathers] == [n >= FIT for n in range(30)]
    assert engine.stats[1].overloaded == 30 - FIT
    assert engine.waiting(1) == FIT


async def test_a_replica_that_was_too_slow_is_tried_again_with_one_query_at_a_time(
    engine: Engine,
) -> None:
    """Otherwise it could never show that it's fast again."""
    replica = connect(engine)
    teach(replica, per_row=2 * SECONDS)
    assert [refused(gather) for gather in flood(engine, rows=5)] == [False] + [True] * 4
    for _ in range(30):
        await turn()
        replica.answer()
        flood(engine, rows=1)
    assert not any(map(refused, flood(engine, rows=5)))


async def test_nothing_is_refused_that_any_of_the_replicas_can_answer_in_time(
    engine: Engine,
) -> None:
    for n in range(3):
        teach(connect(engine, name=f"slow{n}"), per_row=2 * SECONDS)
    teach(connect(engine, name="fast"), per_row=ROW / 10)
    assert not any(map(refused, flood(engine)))


async def test_the_application_that_left_its_place_to_another_is_still_answered(
    engine: Engine,
) -> None:
    replica = connect(engine)
    teach(replica, per_row=ROW)
    flooded, others = flood(engine), flood(engine, rows=4, options=OTHER)
    for _ in range(10):
        await turn()
        if replica.batches:
            replica.answer()
    assert {q.outcomes[0].status for q in others} == {Status.OK}
    admitted = [q for q in flooded if not refused(q)]
    assert {q.outcomes[0].status for q in admitted} <= {Status.OK, Status.OVERLOADED}
    assert sum(q.outcomes[0].status == Status.OK for q in admitted) >= 4


async def test_a_higher_priority_is_admitted_past_any_flood(engine: Engine) -> None:
    teach(connect(engine), per_row=ROW)
    flood(engine)
    assert not any(map(refused, flood(engine, rows=8, options=HIGH)))


async def test_a_lower_priority_is_refused_behind_a_flood(engine: Engine) -> None:
    teach(connect(engine), per_row=ROW)
    flood(engine)
    assert all(map(refused, flood(engine, options=LOW)))


async def test_a_refused_query_leaves_nothing_behind_and_may_be_asked_again(engine: Engine) -> None:
    replica = connect(engine)
    teach(replica, per_row=ROW)
    cached = CallOptions(tenant=1)
    flood(engine, options=cached)
    assert len(engine.joinable) == FIT
    await turn()
    while replica.batches:
        replica.answer()
    again = ask(engine, b"[29]", seconds=SECONDS, options=cached)
    await turn()
    replica.answer()
    assert again.outcomes[0].status == Status.OK
    assert not engine.joinable


async def test_it_tells_when_what_waits_should_be_answered(engine: Engine) -> None:
    assert engine.seconds_behind(1) == 0.0
    teach(connect(engine), per_row=ROW)
    flood(engine)
    assert engine.seconds_behind(1) == pytest.approx(RESERVE * ROW * (FIT + 1))
    assert engine.seconds_behind(99) == 0.0


async def test_what_turns_out_too_late_makes_way_for_what_can_still_be_answered(
    engine: Engine,
) -> None:
    """Speed learned after they were queued: the first to go would come too late, with others."""
    replica = connect(engine)
    replica.writable = False
    late = [ask(engine, b"[%d]" % n, seconds=3 * ROW, options=FLOODED) for n in range(3)]
    timely = [ask(engine, b"[%d]" % n, seconds=60 * ROW, options=FLOODED) for n in range(10, 15)]
    teach(replica, per_row=ROW)
    replica.writable = True
    replica.replica.on_writable()
    await turn()
    assert all(map(refused, late))
    assert replica.batches[0][1] == [b"[10]", b"[11]", b"[12]", b"[13]"]
    assert not any(gather.answered for gather in timely)
