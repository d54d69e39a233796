"""The chance of being the best: against independent integration, and at the extremes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]
from scipy.stats._distn_infrastructure import rv_continuous_frozen  # type: ignore[import-untyped]

from selection.policies.arithmetic.best_arm import best_of_betas


def by_quadrature(statistics: list[rv_continuous_frozen]) -> list[float]:
    """P(i is best) = the mean of the others' distribution functions over i's quantiles."""
    # Quantiles evenly spaced on the logit scale reach far into both tails.
    logits = np.linspace(-34.0, 34.0, 501)
    u, complement = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))
    chances = []
    for i, belief in enumerate(statistics):
        points = belief.ppf(u)
        others = np.prod([b.cdf(points) for j, b in enumerate(statistics) if j != i], axis=0)
        chances.append(float((others * u * complement).sum() * (logits[1] - logits[0])))
    return chances


CASES = [
    [(92, 8), (85, 15), (80, 20), (70, 30), (60, 40)],
    [(1, 1)] * 5,
    [(1, 1), (2, 1), (1, 2)],
    [(460, 40), (5, 2), (3, 1.5), (1.02, 1.4), (2, 2)],
    [(1, 40), (1.5, 60), (2, 90)],
    [(1 + k, 21 - k) for k in range(20)],
    [(15.0 + 0.1 * k, 3.0) for k in range(50)],
    [(1, 1), *((90.0 * n, 10.0 * n) for n in (1, 2, 5, 10, 30, 100))],
]


@pytest.mark.parametrize("parameters", CASES)
def test_betas_agree_with_scipys_distributions(parameters: list[tuple[int, int]]) -> None:
    expected = by_quadrature([stats.beta(a, b) for a, b in parameters])
    assert best_of_betas(parameters) == pytest.approx(expected, abs=1e-5)


beta_parameters = st.floats(0.0, 6.0).map(lambda exponent: 10.0**exponent)


@settings(max_examples=50)
@given(st.lists(st.tuples(beta_parameters, beta_parameters), min_size=1, max_size=8))
def test_whatever_is_known_the_chances_sum_to_one(parameters: list[tuple[float, float]]) -> None:
    chances = best_of_betas(parameters)
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    assert math.isclose(sum(chances), 1.0)
