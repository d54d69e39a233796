"""Replicas of different speed, ones that come, go, hang or change: the engine follows them all."""

import asyncio

import pytest

from core.specs import BatchingSpec
from serving.engine.outcome import Status
from serving.engine.replica import HUNG_S
from serving.testing import SimulatedModel, VirtualService, in_virtual_time

FIXED_COST = SimulatedModel(fixed=0.001, per_row=0.0002, noise=0.03)
HALF_FIXED = SimulatedModel(fixed=0.002, per_row=0.002, noise=0.03)
NO_FIXED = SimulatedModel(per_row=0.003, noise=0.03)
SHARED_COST = SimulatedModel(fixed=0.010, per_row=0.0001, noise=0.03)


def slower(model: SimulatedModel, *, times: float) -> SimulatedModel:
    return SimulatedModel(
        fixed=model.fixed * times, per_row=model.per_row * times, noise=model.noise
    )


async def sweeping(version: VirtualService) -> None:
    """Sweep the engine once a second, as the network service does."""
    while True:
        await asyncio.sleep(1.0)
        version.engine.sweep()


@pytest.mark.parametrize(
    ("fast", "objective", "pairs"),
    [
        pytest.param(FIXED_COST, 0.05, 1, marks=pytest.mark.long),
        (HALF_FIXED, 0.05, 2),
        (NO_FIXED, 0.1, 1),
    ],
)
@in_virtual_time
async def test_replicas_share_a_load_as_their_speeds_are(
    fast: SimulatedModel, objective: float, pairs: int
) -> None:
    slow = slower(fast, times=3.0)
    alone = [VirtualService(one, objective=objective) for one in (fast, slow)]
    together = pairs * sum([await one.capacity(seconds=0.5) for one in alone])
    version = VirtualService(*[fast, slow] * pairs, objective=objective)
    assert await version.capacity(seconds=0.5) >= 0.9 * together
    seen = await version.open(0.8 * together, seconds=1.0)
    assert seen.share_in_time >= 0.99
    assert sum(r.rows for r in version.replicas[::2]) > sum(r.rows for r in version.replicas[1::2])
    seen = await version.open(1.5 * together, seconds=1.0)
    assert seen.goodput >= 0.9 * together


@pytest.mark.parametrize("model", [pytest.param(FIXED_COST, marks=pytest.mark.long), NO_FIXED])
@in_virtual_time
async def test_what_a_dying_replica_leaves_is_answered_by_the_others(model: SimulatedModel) -> None:
    version = VirtualService(*[model] * 3, objective=0.05)
    capacity = await version.capacity(seconds=0.5)
    asyncio.get_running_loop().call_later(0.2, version.replicas[0].die)
    seen = await version.open(0.5 * capacity, seconds=min(2.0, 4000.0 / capacity))
    assert seen.share_in_time >= 0.995
    assert seen.count(Status.REPLICA_LOST) == 0


@in_virtual_time
async def test_a_replica_that_hangs_costs_only_what_it_was_sent() -> None:
    version = VirtualService(*[HALF_FIXED] * 3, objective=0.05)
    capacity = await version.capacity(seconds=0.5)
    sweeper = asyncio.create_task(sweeping(version))
    hanging = version.replicas[0]
    hanging.hang()
    seen = await version.open(0.25 * capacity, seconds=HUNG_S + 3.0)
    sweeper.cancel()
    assert hanging.closed
    assert len(seen) - len(seen.in_time) <= 2 * hanging.replica.planner.cap


@pytest.mark.parametrize(
    ("model", "load"),
    [
        (HALF_FIXED, 0.15),
        (HALF_FIXED, 2.0),
        pytest.param(FIXED_COST, 0.3, marks=pytest.mark.long),
        (NO_FIXED, 0.5),
    ],
)
@in_virtual_time
async def test_a_model_that_is_slower_for_a_while_is_followed_both_ways(
    model: SimulatedModel, load: float
) -> None:
    version = VirtualService(model, objective=0.05)
    capacity = await version.capacity(seconds=0.5)
    [replica] = version.replicas
    reachable = await VirtualService(slower(model, times=5.0), objective=0.05).capacity(seconds=0.5)

    replica.model = slower(model, times=5.0)
    await version.open(load * capacity, seconds=2.0)
    slowed = await version.open(load * capacity, seconds=2.0)
    assert slowed.goodput >= 0.8 * min(reachable, load * capacity)

    replica.model = model
    await version.open(load * capacity, seconds=1.0)
    mended = await version.open(load * capacity, seconds=600.0 / (load * capacity))
    assert mended.goodput >= 0.9 * min(1.0, load) * capacity


@in_virtual_time
async def test_a_model_too_slow_for_its_objective_is_tried_until_it_has_mended() -> None:
    """Whatever is refused, it's never because of a prediction that nothing could correct."""
    version = VirtualService(SHARED_COST, objective=0.05)
    [replica] = version.replicas
    replica.model = SimulatedModel(fixed=0.060)
    slow = await version.open(100.0, seconds=5.0)
    assert not slow.in_time
    # It's free for the ten milliseconds until the next query comes, and then taken for sixty.
    assert replica.busy_seconds >= 0.8 * 5.0
    replica.model = SHARED_COST
    await version.open(50.0, seconds=1.0)
    mended = await version.open(50.0, seconds=2.0)
    assert mended.share_in_time >= 0.95


@pytest.mark.parametrize(
    ("model", "clients"),
    [(SHARED_COST, 32), pytest.param(FIXED_COST, 32, marks=pytest.mark.long), (NO_FIXED, 8)],
)
@in_virtual_time
async def test_an_automatic_wait_is_about_as_good_as_the_best_one_set_by_hand(
    model: SimulatedModel, clients: int
) -> None:
    goodput = {}
    for wait_ms in (None, 0, 1, 2):
        batching = BatchingSpec(wait_ms=wait_ms)
        version = VirtualService(model, objective=0.05, batching=batching)
        await version.closed(clients, seconds=2.0, think=0.001)
        goodput[wait_ms] = (await version.closed(clients, seconds=1.0, think=0.001)).goodput
    assert goodput.pop(None) >= 0.93 * max(goodput.values())
