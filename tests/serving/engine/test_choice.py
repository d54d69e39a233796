"""Choice of a version's replica for a query: the one that should answer it first."""

from collections.abc import AsyncIterator

import pytest

from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import CallOptions
from serving.testing import PlayedReplica, ask, batch_by, connect, teach, turn

UNCACHED = CallOptions(cached=False)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine(EngineSpec())
    made.expect([1])
    batch_by(made, rows=1, answer_within_s=1000.0)
    yield made
    await turn()


def taught(engine: Engine, *, name: str, per_row: float | None = None) -> PlayedReplica:
    connection = connect(engine, name=name)
    if per_row is not None:
        teach(connection, per_row=per_row, sizes=(1,))
    return connection


def queue(engine: Engine, rows: int) -> None:
    for n in range(rows):
        ask(engine, b"[%d]" % n, seconds=1e6, options=UNCACHED)


async def test_a_faster_replica_gets_as_much_more(engine: Engine) -> None:
    fast, slow = (
        taught(engine, name="fast", per_row=1.0),
        taught(engine, name="slow", per_row=3.3),
    )
    queue(engine, 8)
    assert (fast.replica.load, slow.replica.load) == (6, 2)


async def test_of_two_equals_the_less_loaded_one_is_chosen(engine: Engine) -> None:
    busy = taught(engine, name="busy", per_row=1.0)
    queue(engine, 5)
    idle = taught(engine, name="idle", per_row=1.0)
    queue(engine, 5)
    assert (busy.replica.load, idle.replica.load) == (5, 5)


async def test_of_many_replicas_none_is_left_out(engine: Engine) -> None:
    replicas = [taught(engine, name=f"r{n}", per_row=1.0) for n in range(5)]
    queue(engine, 100)
    loads = [replica.replica.load for replica in replicas]
    assert sum(loads) == 100
    assert min(loads) >= 10


def whose_rows_cost_little(engine: Engine, *, count: int) -> list[PlayedReplica]:
    """Replicas that are known to answer up to 16 rows in hardly more time than one."""
    batch_by(engine, rows=16, answer_within_s=1000.0)
    replicas = [taught(engine, name=f"r{n}") for n in range(count)]
    for one in replicas:
        teach(one, fixed=1.0, per_row=0.01, sizes=(1, 16))
    return replicas


async def test_what_comes_in_one_turn_shares_a_batch_whose_rows_cost_little(engine: Engine) -> None:
    replicas = whose_rows_cost_little(engine, count=8)
    queue(engine, 20)
    await turn()
    assert sorted(one.replica.load for one in replicas)[-2:] == [4, 16]


async def test_the_next_turn_goes_to_who_is_idle(engine: Engine) -> None:
    replicas = whose_rows_cost_little(engine, count=2)
    for _ in replicas:
        queue(engine, 10)
        await turn()
    assert [one.replica.in_flight for one in replicas] == [10, 10]


async def test_who_leaves_with_a_batch_half_full_gets_no_more(engine: Engine) -> None:
    replicas = whose_rows_cost_little(engine, count=3)
    queue(engine, 5)
    (gone,) = (one for one in replicas if one.replica.load)
    gone.die()
    queue(engine, 5)
    assert gone.replica.load == 0
    assert sum(one.replica.load for one in replicas) == 10
