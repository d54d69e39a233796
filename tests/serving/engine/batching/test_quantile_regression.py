import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import QuantileRegressor

from serving.engine.batching.aimd import Aimd
from serving.engine.batching.quantile_regression import Line, QuantileRegression, quantile_line
from serving.testing import SimulatedModel, Simulation


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


def test_a_budget_that_changes_moves_the_cap_along_the_line_at_once() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=304)
    controller.budget = 0.012
    assert 99 <= controller.cap <= 100
    controller.budget = 0.001
    assert controller.cap == 1
    controller.budget = 0.02
    assert 178 <= controller.cap <= 180


def test_one_late_batch_by_chance_changes_nothing() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=304)
    before = controller.cap
    controller.record(size=before, latency=0.5)
    assert controller.cap == before


def test_a_faster_replica_is_found_out_once_the_window_has_passed() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=600)
    fill(controller, batches=700, fixed=0.001, per_row=0.00005)
    assert largest_cap(controller, fixed=0.001, per_row=0.00005) >= 340


def test_small_batches_of_a_light_load_say_nothing_of_large_ones() -> None:
    controller = QuantileRegression(budget=0.02)
    fill(controller, batches=600)
    for _ in range(600):
        controller.record(size=1, latency=0.0021)
    assert largest_cap(controller, fixed=0.002) >= 170


def test_pauses_longer_than_the_budget_that_no_size_avoids_do_not_shrink_batches_to_nothing() -> (
    None
):
    simulation = Simulation(
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
        simulation = Simulation(model=model, controller=controller(budget=0.02))
        simulation.run(8.0)
        answered[controller] = simulation.run(8.0)
    assert answered[QuantileRegression].batch_latency(0.99) <= 1.05 * 0.02
    assert answered[QuantileRegression].throughput >= 0.85 * answered[Aimd].throughput


# --- the line, against arithmetic by hand and against scikit-learn ---


def pinball_loss(line: Line, sizes: list[int], latencies: list[float], *, quantile: float) -> float:
    residuals = np.asarray(latencies) - line.intercept - line.slope * np.asarray(sizes)
    return float(np.maximum(quantile * residuals, (quantile - 1.0) * residuals).sum())


@pytest.mark.parametrize("sizes", [[8], [8, 8, 8]])
def test_batches_of_one_size_give_a_level_line_over_them(sizes: list[int]) -> None:
    line = quantile_line(sizes, [0.01] * len(sizes), quantile=0.99)
    assert line == Line(0.01, 0.0)


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(8))
def test_no_line_has_less_loss_than_this_one(seed: int, quantile: float) -> None:
    chance = random.Random(seed)
    count = chance.choice([20, 64, 200, 512])
    largest = chance.choice([4, 50, 1000])
    sizes = [chance.randint(1, largest) for _ in range(count)]
    latencies = [
        (2.0 + 0.05 * size) * max(0.5, chance.gauss(1.0, 0.1))
        + (chance.expovariate(1.0) if chance.random() < 0.1 else 0.0)
        for size in sizes
    ]
    found = quantile_line(sizes, latencies, quantile=quantile)
    judge = QuantileRegressor(quantile=quantile, alpha=0.0, solver="highs").fit(
        np.array(sizes, dtype=float)[:, None], latencies
    )
    theirs = Line(float(judge.intercept_), float(judge.coef_[0]))
    ours = pinball_loss(found, sizes, latencies, quantile=quantile)
    if theirs.slope >= 0.0:
        assert ours == pytest.approx(
            pinball_loss(theirs, sizes, latencies, quantile=quantile), rel=1e-6, abs=1e-9
        )
    else:
        assert found.slope == 0.0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), min_size=1, max_size=120),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_a_line_moved_or_turned_a_little_is_no_better(
    batches: list[tuple[int, float]], quantile: float
) -> None:
    sizes = [size for size, _ in batches]
    latencies = [latency for _, latency in batches]
    found = quantile_line(sizes, latencies, quantile=quantile)
    least = pinball_loss(found, sizes, latencies, quantile=quantile)
    for turn in (-1e-3, -1e-5, 0.0, 1e-5, 1e-3):
        slope = max(0.0, found.slope + turn)
        for pivot in (0, 1, 100, 300):
            for move in (-1e-3, 0.0, 1e-3):
                intercept = found.intercept + (found.slope - slope) * pivot + move
                other = pinball_loss(Line(intercept, slope), sizes, latencies, quantile=quantile)
                assert other >= least - 1e-6 * len(batches)
