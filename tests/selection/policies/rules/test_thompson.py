"""Thompson sampling: each arm is asked as often as its belief says that it is the best."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from selection.policies import make_policy
from selection.policies.arithmetic.reward_variance import variance_ratios

ARMS = dict.fromkeys(("a:1", "b:1", "c:1"), 1.0)
KNOWN = {"a:1": (12.0, 9.5, 9.5), "b:1": (3.0, 2.5, 2.5), "c:1": (40.0, 26.0, 26.0)}
thompson = make_policy("thompson", {"floor": 0.0})


def shares_of_wins(draws: NDArray[Any]) -> NDArray[Any]:
    """Return each row's share of highest draws; accurate to about 0.001 with a million."""
    wins = np.bincount(np.argmax(draws, axis=0), minlength=len(draws))
    shares: NDArray[Any] = wins / draws.shape[1]
    return shares


def test_two_arms_have_the_chances_of_the_closed_form() -> None:
    """P(Beta(a, 1) > Beta(b, 1)) = a / (a + b)."""
    known = {"a:1": (3.0, 3.0, 3.0), "b:1": (1.0, 1.0, 1.0)}
    chances = thompson.prepare(known, dict.fromkeys(known, 1.0)).probabilities
    assert chances == pytest.approx({"a:1": 4 / 6, "b:1": 2 / 6}, abs=1e-6)


def test_rewards_count_as_fractions_of_a_success() -> None:
    luck = np.random.default_rng(1)
    draws = np.stack(
        [luck.beta(1.0 + right, 1.0 + n - right, size=10**6) for n, right, _ in KNOWN.values()]
    )
    chances = thompson.prepare(KNOWN, ARMS).probabilities
    assert list(chances.values()) == pytest.approx(shares_of_wins(draws), abs=0.002)


def test_graded_rewards_count_as_the_coin_flips_that_tell_as_much() -> None:
    graded = {arm: (n, right, right - 0.2 * n) for arm, (n, right, _) in KNOWN.items()}
    ratios = variance_ratios(tuple(graded.values()))
    assert max(ratios) < 0.6
    worth = {
        arm: (n / ratio, right / ratio, right / ratio)
        for (arm, (n, right, _)), ratio in zip(KNOWN.items(), ratios, strict=True)
    }
    chances, expected = (thompson.prepare(known, ARMS).probabilities for known in (graded, worth))
    assert chances == pytest.approx(expected)


def test_what_rounding_leaves_below_nothing_does_no_harm() -> None:
    known = {"a:1": (1e-18, 2e-18, 3e-18), "b:1": (5.0, -1e-18, -1e-18), "c:1": (0.0, 0.0, 0.0)}
    chances = thompson.prepare(known, ARMS).probabilities
    assert math.isclose(sum(chances.values()), 1.0)
    assert chances["b:1"] < 0.1
