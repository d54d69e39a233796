"""Delayed batching: a wait that was set, and one that learns whether waiting pays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.batching import (
    Aimd,
    AutoWait,
    BatchController,
    FixedWait,
    FullBatches,
    Wait,
    new_wait,
)
from serving.testing import ClosedLoop, OpenLoop, SimulatedModel, Simulation, throughput_of_wait
from tests.long import beginning_of

BUDGET = 0.02
WAITS = (0.0, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008)
SHARED_COST = SimulatedModel(fixed=0.005, per_row=0.00001, noise=0.05)
NO_SHARED_COST = SimulatedModel(per_row=0.0001, noise=0.05)


def simulate(
    *,
    load: ClosedLoop | OpenLoop,
    model: SimulatedModel,
    wait: Wait,
    controller: BatchController | None = None,
) -> Simulation:
    return Simulation(
        load=load,
        model=model,
        controller=controller or FullBatches(budget=BUDGET, max_size=4096),
        wait=wait,
    )


def waiting(*, clients: int = 64, model: SimulatedModel = SHARED_COST) -> AutoWait:
    """A wait that has learnt that it pays."""
    wait = AutoWait(budget=BUDGET)
    simulate(load=ClosedLoop(clients=clients), model=model, wait=wait).run(5.0)
    assert wait.seconds > 0.0
    return wait


def test_a_wait_that_was_set_stays_what_it_is() -> None:
    wait = new_wait(2.5, budget=BUDGET)
    wait.record(size=1, elapsed=10.0, busy=0.001)
    assert wait.seconds == 0.0025


def test_zero_sends_at_once() -> None:
    assert new_wait(0.0, budget=BUDGET).seconds == 0.0


def test_without_one_set_it_is_learnt_and_starts_without_waiting() -> None:
    wait = new_wait(None, budget=BUDGET)
    assert isinstance(wait, AutoWait)
    assert wait.seconds == 0.0


@pytest.mark.parametrize(
    ("model", "load", "budget"),
    [
        (SHARED_COST, ClosedLoop(clients=64), BUDGET),
        pytest.param(SHARED_COST, ClosedLoop(clients=16), BUDGET, marks=pytest.mark.long),
        pytest.param(
            SimulatedModel(fixed=0.005, per_row=0.0002, noise=0.1),
            ClosedLoop(clients=64),
            BUDGET,
            marks=pytest.mark.long,
        ),
        (
            SimulatedModel(fixed=0.020, per_row=0.00001, noise=0.05),
            ClosedLoop(clients=64, think=0.005),
            0.1,
        ),
        pytest.param(
            SimulatedModel(fixed=0.001, per_row=0.00001, noise=0.1),
            ClosedLoop(clients=64, think=0.0003),
            0.01,
            marks=pytest.mark.long,
        ),
    ],
    ids=["large fixed cost", "few clients", "rows cost too", "very large", "small but most"],
)
def test_where_rows_share_a_cost_it_comes_near_the_best_wait_there_is(
    model: SimulatedModel, load: ClosedLoop | OpenLoop, budget: float
) -> None:
    best = max(
        throughput_of_wait(seconds, load=load, model=model, budget=budget, run=4.0)
        for seconds in WAITS
    )
    simulation = simulate(load=load, model=model, wait=AutoWait(budget=budget))
    simulation.run(6.0)
    assert simulation.run(8.0).throughput >= 0.9 * best


@pytest.mark.parametrize("think", beginning_of([0.0001, 0.001], rows=1))
@pytest.mark.parametrize("clients", beginning_of([16, 400, 64], rows=2))
def test_where_rows_share_nothing_trying_costs_next_to_nothing(clients: int, think: float) -> None:
    load = ClosedLoop(clients=clients, think=think)
    without = throughput_of_wait(0.0, load=load, model=NO_SHARED_COST, budget=BUDGET, run=4.0)
    simulation = simulate(load=load, model=NO_SHARED_COST, wait=AutoWait(budget=BUDGET))
    assert simulation.run(5.0).throughput >= 0.97 * without
    assert simulation.run(5.0).throughput >= 0.97 * without


@pytest.mark.parametrize("rate", beginning_of([20, 3000, 100, 300, 1000], rows=2))
@pytest.mark.parametrize("model", [SHARED_COST, NO_SHARED_COST], ids=["shared", "none"])
def test_under_a_light_load_nobody_waits_for_others(rate: int, model: SimulatedModel) -> None:
    seconds = min(30.0, 20_000 / rate)
    latencies = [
        simulate(load=OpenLoop(rate=rate), model=model, wait=wait).run(seconds).mean_latency
        for wait in (FixedWait(seconds=0.0, budget=BUDGET), AutoWait(budget=BUDGET))
    ]
    assert latencies[1] <= 1.02 * latencies[0]


def test_it_learns_beside_a_batch_size_that_is_still_growing() -> None:
    simulation = simulate(
        load=ClosedLoop(clients=64),
        model=SHARED_COST,
        controller=Aimd(budget=BUDGET),
        wait=AutoWait(budget=BUDGET),
    )
    simulation.run(6.0)
    best = throughput_of_wait(0.001, load=ClosedLoop(clients=64), model=SHARED_COST, budget=BUDGET)
    assert simulation.run(10.0).throughput >= 0.9 * best


def test_when_the_load_falls_a_lone_query_soon_waits_no_more() -> None:
    wait = waiting()
    for _ in range(20):
        wait.record(size=1, elapsed=0.1, busy=0.005)
    assert wait.seconds == 0.0


def test_when_waiting_stops_paying_it_is_dropped() -> None:
    wait = waiting()
    simulation = simulate(load=ClosedLoop(clients=64), model=NO_SHARED_COST, wait=wait)
    simulation.run(5.0)
    without = throughput_of_wait(
        0.0, load=ClosedLoop(clients=64), model=NO_SHARED_COST, budget=BUDGET, run=4.0
    )
    assert simulation.run(3.0).throughput >= 0.97 * without


def test_when_more_clients_come_it_tries_again() -> None:
    wait = AutoWait(budget=BUDGET)
    simulate(load=OpenLoop(rate=100), model=SHARED_COST, wait=wait).run(60.0)
    assert wait.seconds == 0.0
    simulate(load=ClosedLoop(clients=64), model=SHARED_COST, wait=wait).run(5.0)
    assert wait.seconds > 0.0


def test_full_batches_leave_nothing_to_wait_for() -> None:
    wait = AutoWait(budget=BUDGET)
    simulation = simulate(
        load=ClosedLoop(clients=200),
        model=SHARED_COST,
        controller=FullBatches(budget=BUDGET, max_size=8),
        wait=wait,
    )
    simulation.run(10.0)
    assert wait.seconds == 0.0


def test_a_smaller_budget_shortens_the_wait_at_once() -> None:
    wait = waiting()
    wait.budget = 0.001
    assert 0.0 < wait.seconds <= 0.0001


@given(
    st.lists(
        st.tuples(st.integers(1, 5000), st.floats(0, 5), st.floats(0, 5), st.floats(0.001, 1.0)),
        max_size=400,
    )
)
def test_it_never_waits_longer_than_a_tenth_of_the_budget_or_four_milliseconds(
    batches: Any,
) -> None:
    wait = AutoWait(budget=BUDGET)
    for size, elapsed, busy, budget in batches:
        wait.budget = budget
        wait.record(size=size, elapsed=elapsed, busy=min(busy, elapsed))
        assert 0.0 <= wait.seconds <= min(0.1 * budget, 0.004)
