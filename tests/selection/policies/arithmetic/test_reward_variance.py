"""Variance of rewards beside that of coin flips: what a graded reward tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.policies.arithmetic.reward_variance import variance, variance_ratios
from selection.policies.arithmetic.sums import Vector


def sums(rewards: list[float], *, keep: float = 1.0) -> Vector:
    count = total = squares = 0.0
    for reward in rewards:
        count, total = count * keep + 1.0, total * keep + reward
        squares = squares * keep + reward**2
    return count, total, squares


def test_the_variance_is_a_quarter_before_anything_is_known() -> None:
    assert variance([]) == variance([(0.0, 0.0, 0.0)]) == 0.25


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0])), min_size=1), st.floats(0.5, 1.0))
def test_right_and_wrong_are_coin_flips_however_they_fade(
    arms: list[list[float]], keep: float
) -> None:
    assert variance_ratios([sums(arm, keep=keep) for arm in arms]) == [1.0] * len(arms)


@given(st.lists(st.lists(st.floats(0.0, 1.0)), min_size=1))
def test_no_reward_varies_more_than_coin_flips(arms: list[list[float]]) -> None:
    assert all(0.0 < ratio <= 1.0 + 1e-9 for ratio in variance_ratios([sums(a) for a in arms]))


def test_graded_rewards_have_the_ratio_of_both_variances() -> None:
    (ratio,) = variance_ratios([sums([0.4, 0.6] * 500)])
    assert ratio == pytest.approx(0.1**2 / 0.25, rel=0.1)


def test_an_arm_without_labels_varies_as_the_others_do() -> None:
    known, new = variance_ratios([sums([0.4, 0.6] * 500), sums([])])
    assert new == pytest.approx(known, rel=0.1)


def test_an_arm_that_varies_more_than_the_others_shows_it_by_a_few_labels() -> None:
    _, coin = variance_ratios([sums([0.5] * 300), sums([1.0, 0.0, 1.0])])
    assert coin > 0.7


def test_rewards_that_never_vary_make_no_mean_certain() -> None:
    constant = (1e9, 0.7e9, 0.49e9)
    assert variance_ratios([constant, constant]) == [1e-6, 1e-6]
