"""Rules for every batch controller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.models.models import Batching
from serving.engine.batching import CONTROLLERS, new_controller
from serving.engine.batching.base import BatchController
from serving.testing import SimulatedModel, Simulation
from tests.docs.documents import page, rows

BATCHES = st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 10)), max_size=300)

every_controller = pytest.mark.parametrize("name", sorted(CONTROLLERS))
learning = pytest.mark.parametrize("name", ["aimd", "quantile_regression"])


def test_the_registry_offers_exactly_those_there_are() -> None:
    assert set(Batching.values) == set(CONTROLLERS)


@every_controller
def test_every_controller_is_described(name: str) -> None:
    assert any(row[0] == f"`{name}`" for row in rows(page("docs/explanation/batching.md")))


@every_controller
@given(batches=BATCHES, max_size=st.integers(1, 5000))
def test_the_cap_stays_between_one_and_its_maximum(
    name: str, batches: list[tuple[int, float]], max_size: int
) -> None:
    controller = new_controller(name, budget=0.02, max_size=max_size)
    for size, latency in batches:
        controller.record(size=size, latency=latency)
        assert 1 <= controller.cap <= max_size


@every_controller
@given(
    st.lists(
        st.tuples(
            st.integers(1, 500),
            st.floats(0, 0.1),
            st.floats(0.001, 1.0),
            st.integers(1, 4096),
        ),
        max_size=300,
    )
)
def test_budget_and_maximum_may_change_at_any_time(
    name: str, steps: list[tuple[int, float, float, int]]
) -> None:
    controller = new_controller(name, budget=0.02, max_size=4096)
    for size, latency, budget, max_size in steps:
        controller.budget = budget
        controller.max_size = max_size
        assert 1 <= controller.cap <= max_size
        controller.record(size=size, latency=latency)
        assert 1 <= controller.cap <= max_size


@learning
@given(batches=BATCHES)
def test_it_starts_with_single_rows_and_never_grows_on_a_batch_that_was_not_full(
    name: str, batches: list[tuple[int, float]]
) -> None:
    controller = new_controller(name, budget=0.02, max_size=4096)
    assert controller.cap == 1
    largest = 1
    for size, latency in batches:
        full = size >= controller.cap
        controller.record(size=size, latency=latency)
        if full:
            largest = max(largest, controller.cap)
        assert controller.cap <= largest


@learning
@pytest.mark.parametrize(
    ("model", "best"),
    [
        pytest.param(
            SimulatedModel(fixed=0.001, per_row=0.00002, noise=0.02), 900, marks=pytest.mark.long
        ),
        (SimulatedModel(fixed=0.001, per_row=0.0001, noise=0.05), 172),
        (SimulatedModel(fixed=0.010, per_row=0.0001, noise=0.02), 93),
        (SimulatedModel(per_row=0.001, noise=0.02), 19),
    ],
    ids=["fast", "middling", "costly to start", "slow"],
)
def test_it_converges_to_what_fills_the_budget(name: str, model: SimulatedModel, best: int) -> None:
    controller = new_controller(name, budget=0.02, max_size=4096)
    simulation = Simulation(model=model, controller=controller)
    simulation.run(8.0)
    seen = simulation.run(3.0)
    assert 0.85 * best <= seen.mean_size <= 1.05 * best
    assert seen.batch_latency(0.99) <= 1.1 * controller.budget


@learning
def test_a_replica_that_became_slower_gets_smaller_batches_within_tens_of_them(name: str) -> None:
    controller = new_controller(name, budget=0.02, max_size=4096)
    simulation = _saturated(controller)
    simulation.run(10.0)
    before = controller.cap
    simulation.model = SimulatedModel(fixed=0.003, per_row=0.0003, noise=0.05)
    for _ in range(40):
        simulation.run(0.03)
    assert controller.cap < 0.45 * before
    assert simulation.run(2.0).batch_latency(0.9) <= 1.1 * controller.budget


@learning
def test_a_replica_that_became_faster_is_found_out(name: str) -> None:
    controller = new_controller(name, budget=0.02, max_size=4096)
    simulation = _saturated(controller)
    simulation.run(5.0)
    before = controller.cap
    simulation.model = SimulatedModel(fixed=0.0005, per_row=0.00005, noise=0.05)
    simulation.run(8.0)
    assert simulation.run(2.0).mean_size > 1.6 * before


@pytest.mark.parametrize("cap", [1, 64])
def test_static_is_what_somebody_chose(cap: int) -> None:
    controller = new_controller("static", budget=0.02, max_size=cap)
    controller.record(size=cap, latency=10.0)
    assert controller.cap == cap
    controller.max_size = 7
    assert controller.cap == 7


def _saturated(controller: BatchController) -> Simulation:
    return Simulation(
        model=SimulatedModel(fixed=0.001, per_row=0.0001, noise=0.05),
        controller=controller,
    )
