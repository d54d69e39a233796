"""Callers who leave: what was for them alone is not computed, what others wait for is."""

import asyncio

import pytest

from serving.engine.engine import Engine
from serving.engine.outcome import Status
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    ask,
    batch_by,
    connect,
    turn,
)


@pytest.fixture
async def busy(engine: Engine) -> PlayedReplica:
    """A replica with both places of its pipeline taken."""
    batch_by(engine, rows=1)
    replica = connect(engine)
    ask(engine, b"[100]")
    ask(engine, b"[101]")
    return replica


async def computed(replica: PlayedReplica) -> list[bytes]:
    """Answer everything; return what the model was asked."""
    inputs = []
    await turn()
    while replica.batches:
        inputs += replica.answer()
        await turn()
    return inputs[2:]


async def test_what_nobody_waits_for_any_more_is_not_computed(
    engine: Engine, busy: PlayedReplica
) -> None:
    gather = ask(engine, b"[1]")
    await turn()
    gather.abandon()
    assert await computed(busy) == []
    assert engine.stats[1].cancelled == 1
    assert engine.waiting(1) == 0
    assert not engine.joinable


@pytest.mark.parametrize("leaves", [0, 1, 2])
async def test_of_three_who_ask_the_same_any_may_leave(
    engine: Engine, busy: PlayedReplica, leaves: int
) -> None:
    waiting = [ask(engine, b"[1]") for _ in range(3)]
    leaver = waiting.pop(leaves)
    leaver.abandon()
    waiting.append(ask(engine, b"[1]"))
    assert await computed(busy) == [b"[1]"]
    assert [gather.outcomes for gather in waiting] == [[(Status.OK, b"[1]")]] * 3
    assert leaver.outcomes == [None]


async def test_an_abandoned_question_tells_nobody_and_is_abandoned_once(
    engine: Engine, busy: PlayedReplica
) -> None:
    told = []
    gather = ask(engine, b"[1]")
    gather.when_settled(lambda: told.append(1), seconds=5.0)
    gather.abandon()
    gather.abandon()
    await computed(busy)
    assert told == []
    assert engine.stats[1].cancelled == 1


async def test_what_is_sent_stays_sent_and_is_remembered(engine: Engine) -> None:
    replica = connect(engine)
    gather = ask(engine, b"[1]")
    await turn()
    gather.abandon()
    replica.answer({b"[1]": b"7"})
    assert gather.outcomes == [None]
    assert ask(engine, b"[1]").outcomes == [(Status.OK, b"7")]


async def test_what_a_lost_replica_had_is_not_asked_of_another_for_nobody(engine: Engine) -> None:
    replica = connect(engine)
    gather = ask(engine, b"[1]")
    await turn()
    other = connect(engine, name="r2")
    gather.abandon()
    replica.die()
    await turn()
    assert not other.batches
    assert engine.stats[1].cancelled == 1


async def test_behind_a_replica_that_answers_nothing_a_sweep_lets_go_of_it(
    engine: Engine, busy: PlayedReplica
) -> None:
    await turn()
    gone = [ask(engine, b"[%d]" % n) for n in range(10)]
    stays = ask(engine, b"[50]")
    for gather in gone:
        gather.abandon()
    engine.sweep()
    assert engine.waiting(1) == 1
    assert await computed(busy) == [b"[50]"]
    assert stays.answered


async def test_an_abandoned_query_is_counted_and_asks_no_model() -> None:
    serving = PlayedServing(application_spec(slo_ms=60_000.0), queue_capacity=10)
    query = serving.begin()
    query.abandon()
    serving.engine.sweep()
    stats = serving.metrics.of_application("digits")
    assert (stats.abandoned, stats.queries, stats.errors) == (1, 0, 0)
    assert sum(version.cancelled for version in serving.engine.stats.values()) == 3


async def test_a_query_whose_task_is_cancelled_is_abandoned() -> None:
    serving = PlayedServing(application_spec(slo_ms=60_000.0), queue_capacity=10)
    waiting = asyncio.create_task(serving.begin().settled())
    await turn()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    serving.engine.sweep()
    assert serving.metrics.of_application("digits").abandoned == 1
    assert not serving.engine.joinable
