"""Partial batches: the moment they go, and the time they are held for more."""

import asyncio
from collections.abc import Callable

import pytest

from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import CallOptions
from serving.testing import ask, batch_by, connect, in_virtual_time, teach, turn

ROWS = 4
FOR_EVER_MS, A_MOMENT_MS = 60_000.0, 5.0
GRAIN_S = 1e-6  # what a sum of moments may be off by
PATIENT = CallOptions(tenant=1, cached=False)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def engine() -> Engine:
    made = Engine(EngineSpec(), clock=now)
    made.expect([1])
    return made


def queue(
    engine: Engine, rows: int, *, seconds: float = 600.0, options: CallOptions = PATIENT
) -> None:
    for n in range(rows):
        ask(engine, b"[%d]" % n, seconds=seconds, options=options)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not happened():
            await asyncio.sleep(0.001)


@in_virtual_time
async def test_without_a_wait_a_partial_batch_goes_at_once(engine: Engine) -> None:
    batch_by(engine, rows=ROWS)
    replica = connect(engine)
    queue(engine, 1)
    await turn()
    queue(engine, 2)
    await turn()
    assert replica.sizes == [1, 2]


@in_virtual_time
async def test_behind_a_long_batch_the_next_one_leaves_only_when_it_should_be_done(
    engine: Engine,
) -> None:
    """A query that arrives meanwhile may have to go first."""
    batch_by(engine, rows=ROWS, wait_ms=None)
    replica = connect(engine)
    teach(replica, fixed=0.2, per_row=0.0)
    queue(engine, 2)
    await turn()
    queue(engine, 2)
    await turn()
    assert replica.sizes == [2]
    queue(engine, 2)
    await until(lambda: len(replica.sizes) == 2)
    assert replica.sizes == [2, 4]


@in_virtual_time
async def test_behind_a_long_batch_that_ends_early_the_next_one_goes_at_once(
    engine: Engine,
) -> None:
    batch_by(engine, rows=ROWS, wait_ms=None)
    replica = connect(engine)
    teach(replica, fixed=60.0, per_row=0.0)
    queue(engine, 2)
    await turn()
    queue(engine, 2)
    await turn()
    assert replica.sizes == [2]
    replica.answer()
    assert replica.sizes == [2]
    replica.answer()
    assert replica.replica.load == 0


@in_virtual_time
async def test_with_a_wait_of_zero_nothing_is_held_not_even_behind_a_long_batch(
    engine: Engine,
) -> None:
    batch_by(engine, rows=ROWS, wait_ms=0.0)
    replica = connect(engine)
    teach(replica, fixed=60.0, per_row=0.0)
    for _ in range(2):
        queue(engine, 2)
        await turn()
    assert replica.sizes == [2, 2]


@in_virtual_time
async def test_a_batch_that_fills_up_goes_at_once(engine: Engine) -> None:
    batch_by(engine, rows=ROWS, wait_ms=FOR_EVER_MS)
    replica = connect(engine)
    queue(engine, ROWS - 1)
    await turn()
    queue(engine, 2)
    await turn()
    assert replica.sizes == [ROWS]
    replica.die()


@in_virtual_time
async def test_what_was_held_goes_when_the_wait_is_over(engine: Engine) -> None:
    batch_by(engine, rows=ROWS, wait_ms=A_MOMENT_MS)
    replica = connect(engine)
    began = now()
    queue(engine, 2)
    await until(lambda: replica.sizes)
    assert replica.sizes == [2]
    assert now() - began >= A_MOMENT_MS / 1e3 - GRAIN_S


@in_virtual_time
async def test_a_partial_batch_is_held_while_another_is_under_way(engine: Engine) -> None:
    batch_by(engine, rows=ROWS, wait_ms=A_MOMENT_MS)
    replica = connect(engine)
    queue(engine, ROWS)
    await turn()
    queue(engine, 2)
    await asyncio.sleep(4 * A_MOMENT_MS / 1e3)
    assert replica.sizes == [ROWS]

    free_since = now()
    replica.answer()
    await turn()
    await until(lambda: replica.sizes)
    assert replica.sizes == [2]
    assert now() - free_since >= A_MOMENT_MS / 1e3 - GRAIN_S


@in_virtual_time
async def test_a_held_batch_goes_before_its_earliest_deadline_would_be_missed(
    engine: Engine,
) -> None:
    batch_by(engine, rows=ROWS, wait_ms=FOR_EVER_MS, answer_within_s=2.0)
    replica = connect(engine)
    teach(replica, fixed=1.0, per_row=0.0)
    deadline = now() + 2.0
    queue(engine, 1, seconds=2.0)
    await turn()
    assert replica.sizes == []
    await until(lambda: replica.sizes)
    assert now() < deadline - 1.0


@in_virtual_time
async def test_as_long_as_its_speed_is_unknown_a_replica_gets_its_whole_budget(
    engine: Engine,
) -> None:
    """Held until its deadline the first query would be lost, and the speed never be known."""
    batch_by(engine, rows=ROWS, wait_ms=FOR_EVER_MS, answer_within_s=1.0)
    replica = connect(engine)
    deadline = now() + 0.6
    queue(engine, 1, seconds=0.6)
    await turn()
    assert replica.sizes == []
    await until(lambda: replica.sizes)
    assert now() < deadline


@pytest.mark.parametrize("leave", ["die", "ask_to_drain"])
@in_virtual_time
async def test_what_is_held_when_the_replica_leaves_goes_to_another(
    engine: Engine, leave: str
) -> None:
    batch_by(engine, rows=ROWS, wait_ms=FOR_EVER_MS)
    leaving = connect(engine, name="leaving")
    queue(engine, 3)
    await turn()
    getattr(leaving, leave)()
    batch_by(engine, rows=ROWS, wait_ms=0.0)
    staying = connect(engine, name="staying")
    await turn()
    assert staying.sizes == [3]
    assert leaving.replica.load == 0
