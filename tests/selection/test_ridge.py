"""Regressions of arms: what a coefficient is, beside whatever others there are."""

from __future__ import annotations

import random

import numpy as np
import pytest

from selection.policies.ridge import Coefficients, Ridge


def sums_of(rows: list[tuple[float, float, float]], rewards: list[float]) -> list[float]:
    """Return the upper triangle of sum(x x'), then sum(reward * x)."""
    x, y = np.array(rows), np.array(rewards)
    return [*(x.T @ x)[np.triu_indices(3)].tolist(), *(y @ x).tolist()]


@pytest.mark.parametrize("largest", [1.0, 1e6])
def test_a_large_feature_draws_no_other_coefficient_to_nothing(largest: float) -> None:
    luck = random.Random(1)
    rows = [(1.0, luck.uniform(0.0, largest), luck.uniform(-1.0, 1.0)) for _ in range(500)]
    sums = [sums_of(rows, [0.5 + 0.3 * x for _, _, x in rows])] * 2
    regressions = [of(sums, dimensions=3, ridge=1e-3) for of in (Ridge.of, Ridge.together)]
    for told in (
        *(regression.coefficients for regression in regressions),
        Coefficients.of(sums, dimensions=3, ridge=1e-3).values,
    ):
        for constant, _, other in told:
            assert (constant, other) == pytest.approx((0.5, 0.3), rel=1e-3)


def test_features_that_tell_the_same_leave_finite_bounds() -> None:
    rows = [(1.0, 1e6, x) for x in (1e-6, 1e6, 1.0)] * 200
    regression = Ridge.of([sums_of(rows, [1.0] * len(rows))], dimensions=3, ridge=1e-3)
    for row in rows[:3]:
        (bound,) = regression.upper_bounds(row, alpha=0.5)
        assert bound == pytest.approx(1.0, abs=0.05)
