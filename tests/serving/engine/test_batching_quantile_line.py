"""The fit of a quantile line, against arithmetic by hand and against scikit-learn."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import QuantileRegressor

from serving.engine.batching.quantile_line import Line, quantile_line


def pinball_loss(line: Line, sizes: list[int], latencies: list[float], *, quantile: float) -> float:
    residuals = np.asarray(latencies) - line.intercept - line.slope * np.asarray(sizes)
    return float(np.maximum(quantile * residuals, (quantile - 1.0) * residuals).sum())


def test_batches_on_a_line_give_that_line() -> None:
    line = quantile_line([1, 5, 9, 20], [0.003, 0.007, 0.011, 0.022], quantile=0.99)
    assert line.intercept == pytest.approx(0.002)
    assert line.slope == pytest.approx(0.001)


def test_few_batches_lie_under_a_line_over_the_slowest() -> None:
    line = quantile_line([1, 1, 10, 10], [1.0, 2.0, 3.0, 11.0], quantile=0.99)
    assert line.intercept == pytest.approx(1.0)
    assert line.slope == pytest.approx(1.0)


def test_one_batch_in_a_hundred_may_lie_above() -> None:
    sizes = [*range(1, 201)] * 2
    latencies = [0.001 * size for size in sizes]
    for slow in (7, 180, 333):
        latencies[slow] += 5.0
    line = quantile_line(sizes, latencies, quantile=0.99)
    assert line.intercept == pytest.approx(0.0, abs=1e-9)
    assert line.slope == pytest.approx(0.001)


@pytest.mark.parametrize("sizes", [[8], [8, 8, 8]])
def test_batches_of_one_size_give_a_level_line_over_them(sizes: list[int]) -> None:
    line = quantile_line(sizes, [0.01] * len(sizes), quantile=0.99)
    assert line == Line(0.01, 0.0)


def test_larger_batches_that_took_less_give_a_level_line() -> None:
    line = quantile_line([1, 10], [0.02, 0.01], quantile=0.99)
    assert line == Line(0.02, 0.0)


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
                assert other >= least - 1e-9
