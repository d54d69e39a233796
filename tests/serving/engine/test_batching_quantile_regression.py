from __future__ import annotations

import random
from typing import Any

import pytest

from serving.engine.batching import Aimd, QuantileRegression
from serving.testing import ClosedLoop, SimulatedModel, Simulation


def fill(
    controller: QuantileRegression,
    *,
    batches: int,
    fixed: float = 0.002,
    per_row: float = 0.0001,
    seed: int = 1,
    noise: float = 0.0,
) -> None:
    chance = random.Random(seed)
    for _ in range(batches):
        size = controller.cap
        latency = (fixed + per_row * size) * max(0.5, chance.gauss(1.0, noise))
        controller.record(size=size, latency=latency)


def largest_cap(controller: QuantileRegression, *, batches: int = 16, **latency: Any) -> int:
    """Over enough batches that one is a full one."""
    found = 0
    for _ in range(batches):
        found = max(found, controller.cap)
        fill(controller, batches=1, **latency)
    return found


def test_it_explores_by_two_rows_a_full_batch_until_it_knows_a_line() -> None:
    controller = QuantileRegression(budget=0.02)
    caps = []
    for _ in range(10):
        caps.append(controller.cap)
        fill(controller, batches=1)
    assert caps == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]


def test_it_ends_where_the_line_meets_the_budget() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=300)
    assert 178 <= largest_cap(controller) <= 180


def test_a_budget_that_changes_moves_the_cap_along_the_line_at_once() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=304)
    controller.budget = 0.012
    assert 99 <= controller.cap <= 100
    controller.budget = 0.001
    assert controller.cap == 1
    controller.budget = 0.02
    assert 178 <= controller.cap <= 180


def test_now_and_then_a_batch_is_half_as_large_to_keep_the_line_known() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=1000)
    caps = []
    for _ in range(160):
        caps.append(controller.cap)
        fill(controller, batches=1)
    assert sum(cap <= 90 for cap in caps) == 10
    assert sum(178 <= cap <= 180 for cap in caps) == 150


def test_a_level_line_over_a_lowered_budget_leaves_single_rows() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=304, per_row=0.0, fixed=0.01)
    controller.budget = 0.005
    assert controller.cap == 1


def test_one_late_batch_by_chance_changes_nothing() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=304)
    before = controller.cap
    controller.record(size=before, latency=0.5)
    assert controller.cap == before


def test_several_late_batches_make_it_forget_and_back_off() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=304)
    before = controller.cap
    for _ in range(3):
        controller.record(size=before, latency=0.06)
    assert controller.cap == pytest.approx(before * 0.9**3, abs=1)
    fill(controller, batches=12, fixed=0.006, per_row=0.0003)
    assert controller.cap < 0.4 * before


def test_a_faster_replica_is_found_out_once_the_window_has_passed() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=600)
    fill(controller, batches=700, fixed=0.001, per_row=0.00005)
    assert largest_cap(controller, fixed=0.001, per_row=0.00005) >= 370


def test_small_batches_of_a_light_load_say_nothing_of_large_ones() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=600)
    for _ in range(600):
        controller.record(size=1, latency=0.0021)
    assert largest_cap(controller, fixed=0.002) >= 180


def test_where_every_size_is_late_it_still_sends_single_rows() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=600, fixed=0.03)
    assert controller.cap == 1


def test_pauses_longer_than_the_budget_that_no_size_avoids_do_not_shrink_batches_to_nothing() -> (
    None
):
    simulation = Simulation(
        load=ClosedLoop(clients=1000),
        model=SimulatedModel(fixed=0.001, per_row=0.0001, noise=0.05, pause=0.03, pause_share=0.03),
        controller=QuantileRegression(budget=0.02),
    )
    simulation.run(6.0)
    assert simulation.run(4.0).mean_size > 80


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            SimulatedModel(fixed=0.001, per_row=0.00002, noise=0.1), marks=pytest.mark.long
        ),
        SimulatedModel(fixed=0.001, per_row=0.0001, noise=0.05, pause=0.01, pause_share=0.005),
        SimulatedModel(fixed=0.015, per_row=0.00002, noise=0.03),
        SimulatedModel(fixed=0.001, per_row=0.004, noise=0.05),
    ],
    ids=["noisy", "with pauses", "costly to start", "very slow"],
)
def test_the_p99_keeps_to_the_budget_at_the_throughput_of_aimd(model: SimulatedModel) -> None:
    answered = {}
    for controller in (Aimd, QuantileRegression):
        simulation = Simulation(
            load=ClosedLoop(clients=2000), model=model, controller=controller(budget=0.02)
        )
        simulation.run(8.0)
        answered[controller] = simulation.run(8.0)
    assert answered[QuantileRegression].batch_latency(0.99) <= 1.05 * 0.02
    assert answered[QuantileRegression].throughput >= 0.85 * answered[Aimd].throughput
