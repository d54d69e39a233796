"""Offered more than it can answer, a version answers as much as it can, and refuses the rest."""

import asyncio

import pytest

from serving.engine.gather import CallOptions
from serving.engine.outcome import Status
from serving.testing import Replies, SimulatedModel, VirtualService, in_virtual_time
from tests.long import beginning_of

FLOODING = CallOptions(tenant=1)
ORDINARY_PRIORITY, HIGH_PRIORITY = CallOptions(tenant=2), CallOptions(tenant=2, priority=0)

# Milliseconds: fixed, per row, and the objective.
MODELS = pytest.mark.parametrize(
    ("fixed", "per_row", "objective"),
    [
        (0, 3, 20),
        pytest.param(0, 3, 50, marks=pytest.mark.long),
        pytest.param(0, 3, 100, marks=pytest.mark.long),
        pytest.param(2, 2, 20, marks=pytest.mark.long),
        (2, 2, 50),
        pytest.param(2, 2, 100, marks=pytest.mark.long),
        (1, 0.2, 20),
        pytest.param(1, 0.2, 50, marks=pytest.mark.long),
        (10, 0.1, 50),
        pytest.param(10, 0.1, 100, marks=pytest.mark.long),
    ],
)


def service(fixed: float, per_row: float, objective: float, *, noise: float) -> VirtualService:
    model = SimulatedModel(fixed=fixed / 1e3, per_row=per_row / 1e3, noise=noise)
    return VirtualService(model, objective=objective / 1e3)


@MODELS
@pytest.mark.parametrize("noise", beginning_of([0.15, 0.02], rows=1))  # the harder one first
@in_virtual_time
async def test_three_times_what_it_can_answer_costs_it_next_to_nothing(
    fixed: float, per_row: float, objective: float, noise: float
) -> None:
    version = service(fixed, per_row, objective, noise=noise)
    capacity = await version.capacity(seconds=0.5)
    version.longest_queue = 0
    seen = await version.open(3.0 * capacity, seconds=min(1.0, 1500.0 / capacity))
    assert seen.goodput >= 0.9 * capacity
    # At first some more are let in, until it's seen what full batches take.
    assert version.longest_queue <= 2.0 * capacity * version.objective
    refused = seen.seconds_of(Status.OVERLOADED)
    assert sum(seconds == 0.0 for seconds in refused) >= 0.9 * len(refused)
    assert seen.count(None) <= 0.05 * len(seen)
    await asyncio.sleep(version.objective)
    after = await version.open(0.3 * capacity, seconds=0.5)
    assert after.share_in_time == 1.0


async def beside_a_flood(version: VirtualService, *, load: float, options: CallOptions) -> Replies:
    """Return the replies to an application that asks for `load` of the version's capacity."""
    capacity = await version.capacity(seconds=0.5)
    seconds = 1000.0 / (load * capacity)
    flood, light = await asyncio.gather(
        version.open(3.0 * capacity, seconds=seconds, options=FLOODING),
        version.open(load * capacity, seconds=seconds, options=options),
    )
    assert flood.goodput + light.goodput >= 0.9 * capacity
    return light


@pytest.mark.parametrize(
    ("fixed", "per_row", "objective", "noise", "load"),
    [
        (0, 3, 50, 0.1, 0.2),
        pytest.param(2, 2, 50, 0.1, 0.25, marks=pytest.mark.long),
        pytest.param(0, 3, 100, 0.2, 0.3, marks=pytest.mark.long),
        (1, 0.2, 20, 0.1, 0.3),
    ],
)
@in_virtual_time
async def test_a_light_application_keeps_its_objective_beside_a_flood(
    fixed: int, per_row: float, objective: int, noise: float, load: float
) -> None:
    version = service(fixed, per_row, objective, noise=noise)
    light = await beside_a_flood(version, load=load, options=ORDINARY_PRIORITY)
    assert light.share_in_time >= 0.97


@pytest.mark.parametrize(
    ("fixed", "per_row", "objective", "noise", "load", "least"),
    [
        (0, 3, 50, 0.1, 0.4, 0.99),
        pytest.param(2, 2, 50, 0.1, 0.4, 0.99, marks=pytest.mark.long),
        pytest.param(0, 3, 100, 0.2, 0.4, 0.98, marks=pytest.mark.long),
        pytest.param(1, 0.2, 20, 0.1, 0.4, 0.99, marks=pytest.mark.long),
        # A batch of two rows is a third of the objective: a third query within one waits too long.
        (0, 3, 20, 0.02, 0.2, 0.97),
    ],
)
@in_virtual_time
async def test_a_high_priority_is_served_beside_a_flood_as_if_alone(
    fixed: int, per_row: float, objective: int, noise: float, load: float, least: float
) -> None:
    version = service(fixed, per_row, objective, noise=noise)
    light = await beside_a_flood(version, load=load, options=HIGH_PRIORITY)
    assert light.share_in_time >= least


@pytest.mark.parametrize("rate", [30.0, 300.0, 3000.0])
@in_virtual_time
async def test_a_burst_on_an_idle_fast_model_is_answered(rate: float) -> None:
    version = service(1, 0.02, 50, noise=0.03)
    await version.open(rate, seconds=1.0)
    await asyncio.sleep(1.0)
    assert (await version.burst(500)).share_in_time == 1.0


@pytest.mark.parametrize(
    ("fixed", "per_row"), [(0, 3), pytest.param(2, 2, marks=pytest.mark.long), (1, 0.2)]
)
@in_virtual_time
async def test_a_version_that_starts_under_load_refuses_next_to_nothing(
    fixed: int, per_row: float
) -> None:
    capacity = await service(fixed, per_row, 50, noise=0.03).capacity(seconds=0.5)
    started = service(fixed, per_row, 50, noise=0.03)
    seen = await started.open(0.8 * capacity, seconds=1000.0 / capacity)
    assert seen.share_in_time >= 0.99


@pytest.mark.parametrize(
    ("fixed", "per_row"), [(1, 0.2), pytest.param(10, 0.1, marks=pytest.mark.long)]
)
@in_virtual_time
async def test_a_full_batch_hardly_ever_takes_more_than_its_budget(
    fixed: int, per_row: float
) -> None:
    version = service(fixed, per_row, 50, noise=0.03)
    capacity = await version.capacity(seconds=0.5)
    [replica] = version.replicas
    replica.batch_seconds.clear()
    await version.open(1.2 * capacity, seconds=1.0)
    batches = sorted(replica.batch_seconds)
    assert batches[int(0.99 * len(batches))] <= 1.1 * replica.replica.planner.budget
