"""Epsilon-greedy: exact chances, ties, and arms of which nothing is known."""

from typing import Any

import pytest

from selection.policies import make_policy

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0, "d:1": 1.0}
NOTHING = (0.0, 0.0, 0.0)
greedy = make_policy("epsilon_greedy", {"epsilon": 0.2})


def chances(**statistics: Any) -> dict[str, float]:
    known = {arm: statistics.get(arm[0], NOTHING) for arm in ARMS}
    return dict(greedy.prepare(known, ARMS).probabilities)


def test_the_best_mean_gets_all_but_epsilon_which_is_spread_evenly() -> None:
    got = chances(a=(100.0, 60.0, 50.0), b=(10.0, 9.0, 8.5), c=(50.0, 1.0, 1.0), d=(1.0, 0.5, 0.25))
    assert got == pytest.approx({"a:1": 0.05, "b:1": 0.8 + 0.05, "c:1": 0.05, "d:1": 0.05})


def test_arms_that_tie_share() -> None:
    got = chances(a=(10.0, 9.0, 9.0), b=(100.0, 90.0, 85.0), c=(5.0, 1.0, 1.0), d=(5.0, 2.0, 2.0))
    assert got == pytest.approx({"a:1": 0.45, "b:1": 0.45, "c:1": 0.05, "d:1": 0.05})


def test_an_arm_without_feedback_is_asked_by_exploration_alone() -> None:
    got = chances(a=(10.0, 2.0, 2.0))
    assert got == pytest.approx({"a:1": 0.85, "b:1": 0.05, "c:1": 0.05, "d:1": 0.05})


def test_trust_is_in_proportion_to_mean_rewards_with_one_success_and_one_failure_more() -> None:
    known = {
        "a:1": (8.0, 8.0, 8.0),
        "b:1": (8.0, 4.0, 4.0),
        "c:1": NOTHING,
        "d:1": (8.0, 0.0, 0.0),
    }
    total = 0.9 + 0.5 + 0.5 + 0.1
    assert greedy.prepare(known, ARMS).weights == pytest.approx(
        {"a:1": 0.9 / total, "b:1": 0.5 / total, "c:1": 0.5 / total, "d:1": 0.1 / total}
    )
