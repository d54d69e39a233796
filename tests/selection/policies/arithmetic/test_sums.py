"""Sums fade and grow; a new version inherits of its predecessor; everybody learns from contexts."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.policies.arithmetic.sums import (
    LEVELS,
    LOG_WEIGHTS,
    PAIRS,
    REWARDS,
    State,
    StatisticKind,
    Update,
    beside_level,
    join,
    learn,
    learn_in,
    mean_reward,
    rewards,
)

HALF = 0.5
ARMS = ("knn:1", "svm:2", "tree:1")


def update(
    deltas: dict[str, tuple[float, ...]],
    *,
    statistic: StatisticKind = LOG_WEIGHTS,
    arms: tuple[str, ...] = ARMS,
    keep: float = 1.0,
) -> Update:
    return Update(
        arms=arms,
        routed=arms,
        observed=tuple(deltas),
        deltas={statistic: deltas},
        keep=keep,
        warm_start=HALF,
    )


def log_weights(**weights: Any) -> State:
    """Log-weights by model, each with the version that `ARMS` has."""
    versions = {arm.partition(":")[0]: arm for arm in ARMS}
    return State({"log": {versions.get(m, m): (weight,) for m, weight in weights.items()}})


def test_what_is_beside_the_level_is_measured_by_what_all_arms_earned_lately() -> None:
    lately, slowly = 1.0 - 1.0 / 30.0, 1.0 - 1.0 / 1000.0
    state = State()
    for arm, reward in (("svm:2", 1.0), ("knn:1", 0.0), ("svm:2", 0.5)):
        state = learn(state, update(beside_level({arm: 1.0 - reward}), statistic=LEVELS))
    level = lately / (lately + 1.0)
    sums = state.of(LEVELS)
    assert sums["knn:1"] == pytest.approx((lately, 0.0, slowly, -1.0 * slowly))
    assert sums["svm:2"] == pytest.approx(
        (lately**2 + 1.0, lately**2 + 0.5, slowly**2 + 1.0, 0.5 - level)
    )


def test_every_arm_that_takes_part_fades_and_the_others_stay() -> None:
    before = State({"log": {"svm:2": (-4.0,), "knn:1": (-8.0,), "gone:1": (-2.0,)}})
    state = learn(before, update({"svm:2": (-1.0,)}, arms=("knn:1", "svm:2"), keep=0.5))
    assert state.of(LOG_WEIGHTS) == {"svm:2": (-3.0,), "knn:1": (-4.0,), "gone:1": (-2.0,)}


def test_a_kind_may_fade_number_by_number_whatever_the_policy_does() -> None:
    memories = StatisticKind("mem", 2, keeps=(1.0, 0.5))
    before = State({"mem": {"svm:2": (8.0, 8.0), "knn:1": (4.0, 4.0)}})
    state = learn(before, update({"svm:2": (1.0, 1.0)}, statistic=memories, keep=0.25))
    assert state.of(memories) == {"svm:2": (9.0, 5.0), "knn:1": (4.0, 2.0), "tree:1": (0.0, 0.0)}


def test_some_of_them_by_feedback_of_the_arm_itself_alone() -> None:
    own = StatisticKind("own", 2, by_arm=1)
    before = State({"own": {"svm:2": (8.0, 8.0), "knn:1": (4.0, 4.0)}})
    state = learn(before, update({"svm:2": (1.0, 1.0)}, statistic=own, keep=0.5))
    assert state.of(own) == {"svm:2": (5.0, 5.0), "knn:1": (2.0, 4.0), "tree:1": (0.0, 0.0)}


# --- newcomers ------------------------------------------------------------------------------


def test_an_arm_that_nothing_is_known_of_joins_at_the_mean_log_weight() -> None:
    joined = join(log_weights(knn=-1.0, svm=-3.0), ARMS, statistic=LOG_WEIGHTS, warm_start=HALF)
    assert joined == {"knn:1": (-1.0,), "svm:2": (-3.0,), "tree:1": (-2.0,)}


def test_a_new_version_inherits_a_share_of_what_set_its_predecessor_apart() -> None:
    state = State({"log": {"knn:1": (-2.0,), "svm:2": (-4.0,), "tree:0": (-9.0,)}})
    joined = join(state, ARMS, statistic=LOG_WEIGHTS, warm_start=HALF)
    assert joined["tree:1"] == (-3.0 + 0.5 * (-9.0 + 3.0),)


def test_of_several_former_versions_it_follows_the_one_of_which_most_is_known() -> None:
    state = State({"rew": {"tree:0": (8.0, 2.0, 2.0), "tree:9": (2.0, 2.0, 2.0)}})
    joined = join(state, ARMS, statistic=REWARDS, warm_start=HALF)
    assert joined["tree:1"] == (4.0, 1.0, 1.0)


# --- contexts -------------------------------------------------------------------------------


def test_a_reward_makes_a_pair_with_the_mean_of_those_before_it_in_its_arm_and_context() -> None:
    states: dict[str, State] = {}
    given = [("ann", 1.0), ("bob", 0.5), ("ann", 0.5), ("ann", 0.0), ("", 1.0)]
    for context, reward in given:
        one = update(rewards({"svm:2": 1.0 - reward}), statistic=REWARDS)
        states |= learn_in(context, one, states=states)
    pairs = states[""].of(PAIRS)
    # In ann's context (1, 1/2) and (3/4, 0): fading by 0.9999 with what came since.
    keep = 0.9999
    assert pairs["svm:2"] == (keep + 1.0, keep + 0.75, 0.5 * keep, 0.5 * keep)
    assert pairs["knn:1"] == (0.0, 0.0, 0.0, 0.0)
    assert PAIRS.name not in states["ann"].sums


# --- rewards --------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0, 1.0), max_size=50), st.floats(0.5, 1.0))
def test_however_it_fades_the_mean_reward_stays_between_0_and_1(
    losses: list[float], keep: float
) -> None:
    state = State()
    for loss in losses:
        state = learn(
            state, update(rewards({"svm:2": loss}), statistic=REWARDS, arms=("svm:2",), keep=keep)
        )
    mean = mean_reward(state.of(REWARDS).get("svm:2", (0.0, 0.0, 0.0)))
    assert mean is None or -1e-9 <= mean <= 1.0 + 1e-9
    assert mean is None or math.isfinite(mean)
