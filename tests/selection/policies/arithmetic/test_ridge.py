"""Regressions of arms: what a coefficient is, beside whatever others there are."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from selection.policies.arithmetic.ridge import Ridge
from selection.policies.arithmetic.sums import Vector

Array = NDArray[np.float64]


def sums_of(rows: Sequence[tuple[float, ...]], rewards: list[float]) -> Vector:
    """Return the upper triangle of sum(x x'), then sum(reward * x)."""
    x, y = np.array(rows), np.array(rewards)
    return (*(x.T @ x)[np.triu_indices(x.shape[1])].tolist(), *(y @ x).tolist())


def arms_of(*, seed: int, count: int, features: int) -> list[tuple[Array, Array]]:
    """Return the queries of each arm, the first of which has none, and their rewards."""
    luck = np.random.default_rng(seed)
    arms = []
    for labels in (0, *luck.integers(1, 100, size=count - 1)):
        x = np.hstack([np.ones((labels, 1)), luck.normal(size=(labels, features))])
        arms.append((x, luck.integers(0, 2, size=labels).astype(np.float64)))
    return arms


def vectors_of(arms: list[tuple[Array, Array]]) -> list[Vector]:
    """Return what is kept of each: two numbers, then the sums."""
    return [
        (
            float(len(y)),
            float(y.sum()),
            *(x.T @ x)[np.triu_indices(x.shape[1])].tolist(),
            *(y @ x).tolist(),
        )
        for x, y in arms
    ]


def penalised(matrix: Array) -> Array:
    return matrix + np.diag(2.0 + np.diag(matrix) / 1e12)


def same(solved: Array, expected: Array) -> bool:
    return np.allclose(solved, expected, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("features", [1, 5, 32])
@pytest.mark.parametrize("seed", range(3))
def test_regressions_are_those_of_arms_solved_one_by_one(seed: int, features: int) -> None:
    arms = arms_of(seed=seed, count=20, features=features)
    together = penalised(sum((x.T @ x for x, _ in arms), np.zeros((1, 1))))
    shared = np.linalg.solve(together, sum(y @ x for x, y in arms))
    inverses = [np.linalg.inv(penalised(x.T @ x)) for x, _ in arms]
    drawn = np.array(
        [shared + i @ (y @ x - x.T @ x @ shared) for i, (x, y) in zip(inverses, arms, strict=True)]
    )
    vectors, d = vectors_of(arms), features + 1
    solved = Ridge.of(vectors, dimensions=d, ridge=2.0)
    assert same(solved.coefficients, drawn)
    assert same(solved.inverses, np.concatenate(inverses))


@pytest.mark.parametrize("largest", [1.0, 1e6])
def test_a_large_feature_draws_no_other_coefficient_to_nothing(largest: float) -> None:
    luck = random.Random(1)
    rows = [(1.0, luck.uniform(0.0, largest), luck.uniform(-1.0, 1.0)) for _ in range(500)]
    sums = [sums_of(rows, [0.5 + 0.3 * x for _, _, x in rows])] * 2
    for constant, _, other in Ridge.of(sums, dimensions=3, ridge=1e-3).coefficients:
        assert (constant, other) == pytest.approx((0.5, 0.3), rel=1e-3)
