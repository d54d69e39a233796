"""Inputs that replicas die of: found with few deaths, refused a while; innocents are answered."""

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Status
from serving.engine.quarantine import MAX_REMEMBERED, PARTS, QUARANTINE_S, Quarantine
from serving.rpc.errors import ConnectionLost
from serving.testing import AdjustableClock, ask, batch_by, connect, new_call, turn

POISON = b"[666]"
UNCACHED = CallOptions(cached=False)


class Cluster:
    """Replicas that die of poison, each replaced when it has died."""

    def __init__(self, *, rows: int, poison: frozenset[bytes] = frozenset({POISON})) -> None:
        self.clock = AdjustableClock()
        self.engine = Engine(EngineSpec(), clock=self.clock)
        self.engine.expect([1])
        batch_by(self.engine, rows=rows)
        self.poison = poison
        self.deaths = 0
        self.replica = connect(self.engine)

    async def settle(self) -> None:
        """Let the replicas work until nothing is left to do."""
        await turn()
        while self.replica.batches:
            _, inputs = self.replica.batches[0]
            if self.poison.intersection(inputs):
                self.deaths += 1
                self.replica.die()
                self.replica = connect(self.engine, name=f"r{self.deaths}")
            else:
                self.replica.answer()
            await turn()

    def nothing_is_left(self) -> bool:
        engine = self.engine
        return not (engine.joinable or engine.waiting(1) or engine.in_flight(1))


def status(gather: Gather) -> int:
    assert gather.outcomes[0] is not None
    return gather.outcomes[0].status


@pytest.mark.parametrize(("rows", "deaths"), [(1, 2), (8, 2), (64, 3), (512, 4)])
async def test_it_is_found_with_few_deaths_and_innocents_are_answered(
    rows: int, deaths: int
) -> None:
    cluster = Cluster(rows=rows)
    innocent = [ask(cluster.engine, b"[%d]" % n) for n in range(rows - 1)]
    guilty = ask(cluster.engine, POISON)
    await cluster.settle()
    assert status(guilty) == Status.QUARANTINED
    assert {status(gather) for gather in innocent} <= {Status.OK}
    assert cluster.deaths == deaths
    assert cluster.engine.stats[1].quarantined == 1
    assert cluster.nothing_is_left()


async def test_it_is_refused_at_once_for_a_while_and_kills_nobody() -> None:
    cluster = Cluster(rows=8)
    ask(cluster.engine, POISON)
    await cluster.settle()
    deaths = cluster.deaths
    for options in (CallOptions(), CallOptions(tenant=5)):
        assert status(ask(cluster.engine, POISON, options=options)) == Status.QUARANTINED
    await cluster.settle()
    assert cluster.deaths == deaths


async def test_past_the_cache_it_is_remembered_too() -> None:
    cluster = Cluster(rows=8)
    ask(cluster.engine, POISON, options=UNCACHED)
    await cluster.settle()
    assert status(ask(cluster.engine, POISON, options=UNCACHED)) == Status.QUARANTINED


async def test_when_its_time_is_over_it_may_kill_once_more_and_is_refused_again() -> None:
    cluster = Cluster(rows=8)
    ask(cluster.engine, POISON)
    await cluster.settle()
    cluster.clock.advance(QUARANTINE_S)
    deaths = cluster.deaths
    again = ask(cluster.engine, POISON)
    innocent = ask(cluster.engine, b"[1]")
    await cluster.settle()
    assert (status(again), status(innocent)) == (Status.QUARANTINED, Status.OK)
    assert cluster.deaths == deaths + 1


async def test_callers_who_have_no_time_left_leave_what_is_known() -> None:
    """Each asks with little time, so that nobody waits long enough to find the poison."""
    cluster = Cluster(rows=64)
    for _ in range(10):
        innocent = [ask(cluster.engine, b"[%d]" % n) for n in range(63)]
        guilty = ask(cluster.engine, POISON)
        await turn()
        _, inputs = cluster.replica.batches[0] if cluster.replica.batches else (0, [])
        if POISON in inputs:
            for gather in (*innocent, guilty):
                gather.abandon()
        await cluster.settle()
    assert cluster.deaths <= 3
    assert status(ask(cluster.engine, POISON)) == Status.QUARANTINED


async def test_one_replica_asks_the_suspects_and_nothing_else_meanwhile(engine: Engine) -> None:
    batch_by(engine, rows=8)
    dying = connect(engine, name="dying")
    for n in range(8):
        ask(engine, b"[%d]" % n)
    await turn()
    first, second = connect(engine, name="first"), connect(engine, name="second")
    dying.die()
    await turn()
    asked = [replica for replica in (first, second) if replica.batches]
    assert [replica.sizes for replica in asked] == [[1]]
    for n in range(100, 132):
        ask(engine, b"[%d]" % n)
    await turn()
    assert asked[0].sizes == [1]
    (other,) = {first, second} - set(asked)
    assert sum(other.sizes) > 0
    while first.batches or second.batches:
        for replica in (first, second):
            if replica.batches:
                replica.answer()
        await turn()
    assert not engine.joinable


async def test_what_was_waiting_behind_it_is_not_blamed(engine: Engine) -> None:
    batch_by(engine, rows=1)
    dying = connect(engine)
    ask(engine, POISON)
    behind = ask(engine, b"[1]")
    await turn()
    dying.die()
    assert len(engine.suspicions(1)) == 1
    other = connect(engine, name="r2")
    await turn()
    while other.batches:
        other.answer()
        await turn()
    assert status(behind) == Status.OK


async def test_a_link_that_this_end_closes_blames_nobody(engine: Engine) -> None:
    leaving = connect(engine)
    gather = ask(engine, b"[1]")
    await turn()
    leaving.replica.on_lost(None)
    assert not engine.suspicions(1)
    other = connect(engine, name="r2")
    await turn()
    other.answer()
    assert status(gather) == Status.OK


async def test_a_replica_that_hangs_blames_what_it_was_working_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather: Gather | None = None
    monkeypatch.setattr("serving.engine.replica.HUNG_S", 0.0)
    batch_by(engine, rows=4096, answer_within_s=0.0)
    for name in ("r1", "r2"):
        hanging = connect(engine, name=name)
        gather = gather or ask(engine, POISON)
        await turn()
        engine.sweep()
        assert hanging.closed
    assert gather is not None
    assert status(gather) == Status.QUARANTINED


async def test_suspects_whose_time_is_over_are_let_go_by_the_sweep() -> None:
    clock = AdjustableClock()
    engine = Engine(EngineSpec(), clock=clock)
    engine.expect([1])
    dying = connect(engine)
    gather = ask(engine, POISON, seconds=60.0)
    await turn()
    dying.replica.on_lost(ConnectionLost("killed"))
    assert engine.waiting(1) == 1
    clock.advance(60.0)
    engine.sweep()
    assert engine.waiting(1) == 0
    assert status(gather) == Status.EXPIRED


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 100),
    st.sets(st.integers(0, 99), max_size=3),
    st.sampled_from([1, 4, 16, 64]),
)
def test_everybody_is_settled_once_and_deaths_are_bounded(
    count: int, guilty: set[int], rows: int
) -> None:
    asyncio.run(find(count=count, guilty=guilty, rows=rows))


async def find(*, count: int, guilty: set[int], rows: int) -> None:
    poison = frozenset(b"[%d]" % n for n in guilty if n < count)
    cluster = Cluster(rows=rows, poison=poison)
    asked = {b"[%d]" % n: ask(cluster.engine, b"[%d]" % n) for n in range(count)}
    await cluster.settle()
    for input, gather in asked.items():
        expected = {Status.QUARANTINED} if input in poison else {Status.OK, Status.REPLICA_LOST}
        assert status(gather) in expected
    each = 2 + math.ceil(math.log(max(rows, 2), PARTS))
    assert cluster.deaths <= len(poison) * each
    assert cluster.nothing_is_left()
    assert len(cluster.engine.suspicions(1)) == len(poison)


def test_so_many_are_remembered_at_most_and_the_oldest_go() -> None:
    kept = Quarantine(capacity=10)
    calls = [new_call(b"[%d]" % n) for n in range(MAX_REMEMBERED + 5)]
    kept.blame(calls, now=1.0)
    assert len(kept.suspicions) == MAX_REMEMBERED
    assert kept.suspicion_of(calls[0]) is None
    assert kept.suspicion_of(calls[-1])


def test_what_was_long_ago_is_forgotten() -> None:
    kept = Quarantine(capacity=10)
    kept.blame([new_call(b"[1]")], now=1.0)
    kept.blame([new_call(b"[2]")], now=2.0)
    kept.forget(now=1.0 + 12 * QUARANTINE_S)
    assert kept.suspicion_of(new_call(b"[1]")) is None
    assert kept.suspicion_of(new_call(b"[2]"))


def test_no_more_wait_than_there_is_room_for() -> None:
    kept = Quarantine(capacity=2)
    calls = [new_call(b"[%d]" % n) for n in range(3)]
    kept.blame(calls, now=1.0)
    assert [kept.wait(call) for call in calls] == [True, True, False]
