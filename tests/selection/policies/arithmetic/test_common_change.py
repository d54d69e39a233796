"""Forecasts of arms that have changed together: by differences, and how likely that is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.policies.arithmetic.memory_choice import forecast

# Of three arms: labels and rewards of all time, and since the change.
COUNTS = np.array([[500.0, 40.0], [60.0, 4.0], [50.0, 0.0]])
REWARDS = np.array([[450.0, 8.0], [48.0, 0.0], [35.0, 0.0]])
# Of each arm: labels and rewards of lately, labels, and how far above the level in all.
LEVELS = np.array([[0.0, 0.0, 500.0, 10.0], [0.0, 0.0, 60.0, -6.0], [0.0, 0.0, 150.0, -30.0]])
units = st.floats(0.0, 1.0)


def test_an_arm_is_as_far_from_the_one_asked_most_as_it_always_was() -> None:
    found = forecast(COUNTS, REWARDS, levels=LEVELS, lately=1)
    assert found.counts.tolist() == [0.0, 60.0, 100.0]
    assert found.rewards.tolist() == pytest.approx([0.0, 60.0 * (0.2 - 0.1 - 0.02), 0.0])


def test_how_likely_that_is_follows_from_the_latest_labels_of_the_others() -> None:
    found = forecast(COUNTS, REWARDS, levels=LEVELS, lately=1)
    ratio = 4.0 * math.log((1.0 - 0.08) / (1.0 - 48.0 / 56.0))
    assert found.together == pytest.approx(1.0 / (1.0 + math.exp(2.0 - ratio)))


def test_of_an_arm_without_differences_nothing_is_foretold() -> None:
    levels = np.where([[True], [False], [True]], LEVELS, 0.0)
    found = forecast(COUNTS, REWARDS, levels=levels, lately=1)
    assert found.counts.tolist() == [0.0, 0.0, 100.0]
    assert found.together == pytest.approx(1.0 / (1.0 + math.exp(2.0)))


@given(
    arms=st.lists(st.tuples(st.floats(0.0, 1e6), units, units, units), min_size=1, max_size=6),
    beside=st.lists(st.tuples(st.floats(0.0, 1e3), st.floats(-1.0, 1.0)), min_size=6, max_size=6),
)
def test_whatever_came_it_is_a_chance_and_means_from_0_to_1(
    arms: list[tuple[float, float, float, float]], beside: list[tuple[float, float]]
) -> None:
    counts = np.array([[n, n * share] for n, share, _, _ in arms])
    rewards = np.array([[n * (s * r + (1 - s) * q), n * s * r] for n, s, r, q in arms])
    levels = np.array([[0.0, 0.0, n, n * x] for n, x in beside[: len(arms)]])
    found = forecast(counts, rewards, levels=levels, lately=1)
    assert 0.0 <= found.together <= 1.0
    assert np.all((found.rewards >= 0.0) & (found.rewards <= found.counts))
    assert np.all(found.counts <= 100.0)
