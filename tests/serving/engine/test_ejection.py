"""A replica that keeps failing while others answer is passed over for a while."""

from collections.abc import Callable

import pytest

from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Status
from serving.engine.pool import FAILURES_TO_EJECT
from serving.rpc.frames.codec import Answer, AnswerStatus
from serving.testing import AdjustableClock, PlayedReplica, ask, batch_by, connect, turn

CLOCK = AdjustableClock()
EJECTION_S = 1.0
UNCACHED = CallOptions(cached=False)


@pytest.fixture
def engine() -> Engine:
    made = Engine(EngineSpec(), clock=CLOCK)
    made.expect([1])
    batch_by(made, rows=1)
    return made


@pytest.fixture
def bad(engine: Engine) -> PlayedReplica:
    return connect(engine, name="bad")


@pytest.fixture
def good(engine: Engine) -> PlayedReplica:
    return connect(engine, name="good")


async def queue(engine: Engine, rows: int) -> list[Gather]:
    gathers = [ask(engine, b"[%d]" % n, seconds=60.0, options=UNCACHED) for n in range(rows)]
    await turn()
    return gathers


async def fail(bad: PlayedReplica, *, times: int, good: PlayedReplica) -> None:
    """Let one fail whenever the other succeeds."""
    for _ in range(times):
        bad.fail()
        good.answer()
        await turn()


async def eject(engine: Engine, *, bad: PlayedReplica, good: PlayedReplica) -> None:
    await queue(engine, 30)
    await fail(bad, times=FAILURES_TO_EJECT, good=good)
    while bad.batches:
        bad.fail()
    await drained(good)
    assert engine.stats[1].ejected == 1


async def drained(*replicas: PlayedReplica) -> None:
    """Answer everything that is there."""
    while any(replica.batches for replica in replicas):
        for replica in replicas:
            if replica.batches:
                replica.answer()
        await turn()


async def test_it_gets_no_more_queries_and_the_others_take_over_its_queue(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    gathers = await queue(engine, 40)
    assert bad.replica.waiting > 10
    await fail(bad, times=FAILURES_TO_EJECT, good=good)
    assert engine.stats[1].ejected == 1
    assert bad.replica.waiting == 0

    gathers += await queue(engine, 10)
    assert bad.replica.waiting == 0
    await drained(good, bad)
    statuses = [gather.outcomes[0].status for gather in gathers]
    assert statuses.count(Status.MODEL_FAILED) == FAILURES_TO_EJECT
    assert statuses.count(Status.OK) == 50 - FAILURES_TO_EJECT


async def test_it_comes_back_when_its_time_is_over_and_not_before(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    await eject(engine, bad=bad, good=good)
    engine.sweep()
    await queue(engine, 10)
    assert not bad.batches
    await drained(good)

    CLOCK.advance(EJECTION_S)
    engine.sweep()
    await queue(engine, 10)
    assert bad.batches
    await drained(good, bad)


async def test_on_probation_one_failed_batch_ejects_it_for_longer(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    await eject(engine, bad=bad, good=good)
    CLOCK.advance(EJECTION_S)
    engine.sweep()

    await queue(engine, 10)
    good.answer()
    bad.fail()
    assert engine.stats[1].ejected == 2
    await drained(good, bad)

    CLOCK.advance(1.5 * EJECTION_S)
    engine.sweep()
    await queue(engine, 10)
    assert not bad.batches
    await drained(good)
    CLOCK.advance(0.5 * EJECTION_S)
    engine.sweep()
    await queue(engine, 10)
    assert bad.batches
    await drained(good, bad)


async def test_nobody_is_ejected_while_all_fail(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    await queue(engine, 60)
    for _ in range(3 * FAILURES_TO_EJECT):
        for replica in (bad, good):
            replica.fail()
        await turn()
    assert engine.stats[1].ejected == 0
    assert bad.batches
    assert good.batches


async def test_the_last_that_is_left_is_never_ejected(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    await queue(engine, 40)
    await fail(bad, times=FAILURES_TO_EJECT - 1, good=good)
    good.ask_to_drain()
    while good.batches:
        good.answer()
    for _ in range(FAILURES_TO_EJECT):
        bad.fail()
        await turn()
    assert engine.stats[1].ejected == 0
    assert bad.batches


@pytest.mark.parametrize("leave", [PlayedReplica.die, PlayedReplica.ask_to_drain])
async def test_when_the_healthy_one_leaves_the_ejected_one_is_back_at_once(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica, leave: Callable[[PlayedReplica], None]
) -> None:
    await eject(engine, bad=bad, good=good)
    gathers = await queue(engine, 6)
    assert not bad.batches
    leave(good)
    await turn()
    assert bad.batches
    await drained(good, bad)
    assert {gather.outcomes[0].status for gather in gathers} == {Status.OK}


async def test_an_ejected_replica_that_dies_is_forgotten(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    await eject(engine, bad=bad, good=good)
    bad.die()
    engine.sweep()
    gathers = await queue(engine, 3)
    await drained(good)
    assert all(gather.answered for gather in gathers)
    assert engine.in_flight(1) == engine.waiting(1) == 0


async def test_an_input_that_the_model_refuses_is_no_failure(
    engine: Engine, bad: PlayedReplica, good: PlayedReplica
) -> None:
    await queue(engine, 40)
    for _ in range(2 * FAILURES_TO_EJECT):
        bad.answer_with(Answer(AnswerStatus.INVALID_INPUT, b"no"))
        good.answer()
        await turn()
    assert engine.stats[1].ejected == 0
    await drained(good, bad)
