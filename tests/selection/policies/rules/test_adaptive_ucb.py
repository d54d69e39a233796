"""Adaptive UCB: exact bounds of its sources, and memories that give way to what has changed."""

import math
from collections.abc import Iterable
from random import Random

import numpy as np
import pytest

from selection.policies.arithmetic.memory_choice import (
    Belief,
    choose_beliefs,
    divergence,
    highest_bound,
    longest_that_holds,
    upper_bounds,
)
from selection.policies.arithmetic.sums import LEVELS, State, Vector, join_all, learn
from selection.policies.rules.adaptive_ucb import AdaptiveUCB

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0}
ADAPTIVE = AdaptiveUCB()


def taught(rewards: Iterable[tuple[str, float]], *, state: State | None = None) -> State:
    state = State() if state is None else state
    for arm, reward in rewards:
        update = ADAPTIVE.update(arms=ARMS, losses={arm: 1.0 - reward}, propensities={arm: 0.5})
        state = learn(state, update)
    return state


def chances(state: State) -> dict[str, float]:
    return dict(ADAPTIVE.prepare(sums_of(state), ARMS).probabilities)


def sums_of(state: State, *, arms: Iterable[str] = ARMS) -> dict[str, Vector]:
    return join_all(state, arms, statistics=ADAPTIVE.statistics, warm_start=ADAPTIVE.warm_start)


def drawn(luck: Random, arm: str, mean: float, *, times: int) -> list[tuple[str, float]]:
    return [(arm, float(luck.random() < mean)) for _ in range(times)]


# --- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("exploration", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("ratio", [1.0, 0.1])
def test_the_bound_is_wilsons(exploration: float, ratio: float) -> None:
    """Wilson 1927: where (p - mean)**2 = z**2 * p * (1 - p) / n."""
    known = Belief(np.array([10.0, 40.0]), np.array([7.0, 38.0]), np.array([ratio, ratio]))
    ((first, second),) = upper_bounds(known, exploration=np.array([exploration])).tolist()
    for bound, n, rewards in ((first, 10.0, 7.0), (second, 40.0, 38.0)):
        z2 = 2.0 * exploration * ratio * math.log(1.0 + 50.0 / n)
        assert (bound - rewards / n) ** 2 == pytest.approx(z2 * bound * (1.0 - bound) / n)
        assert bound > rewards / n


def test_the_chances_are_how_often_each_bound_is_highest() -> None:
    known = Belief(np.array([200.0, 8.0, 30.0]), np.array([160.0, 4.3, 20.0]))
    wins = [0, 0, 0]
    for draw in range(16):
        exploration = np.array([((draw + 0.5) / 16) ** 0.3])
        wins[int(upper_bounds(known, exploration=exploration)[0].argmax())] += 1
    assert highest_bound(known, exploration=1.0) == [won / 16 for won in wins]
    assert len([won for won in wins if won]) > 1


# --- memories ---------------------------------------------------------------------------------


def test_the_longest_memory_holds_until_a_shorter_one_disagrees() -> None:
    counts = np.array([[1000.0, 100.0, 10.0]])
    worth = np.array([[1000.0, 200.0, 20.0]])
    agreeing = np.array([[900.0, 88.0, 9.0]])
    assert longest_that_holds(counts, agreeing, worth=worth).tolist() == [0]
    assert 200.0 * float(divergence(np.array(0.7), np.array(0.9))) > 6.0
    disagreeing = np.array([[900.0, 70.0, 7.0]])
    assert longest_that_holds(counts, disagreeing, worth=worth).tolist() == [1]


def test_without_change_nothing_is_forgotten() -> None:
    luck = Random(1)
    state = taught(drawn(luck, "a:1", 0.9, times=2000))
    counts, rewards, _ = choose_beliefs([sums_of(state)["a:1"]])
    assert counts.tolist() == [pytest.approx(2000.0)]
    assert rewards[0] / counts[0] == pytest.approx(0.9, abs=0.02)


def test_an_arm_that_fails_is_left_within_a_few_dozen_labels() -> None:
    luck = Random(2)
    good = [*drawn(luck, "a:1", 0.95, times=2000), *drawn(luck, "b:1", 0.8, times=200)]
    before = taught([*good, *drawn(luck, "a:1", 0.95, times=50)])
    assert chances(before)["a:1"] > 0.8
    assert chances(taught([("a:1", 0.0)] * 40, state=before))["a:1"] < 0.1


def test_and_one_that_is_mended_comes_back_by_the_few_labels_it_still_gets() -> None:
    luck = Random(3)
    bad = [*drawn(luck, "a:1", 0.05, times=200), *drawn(luck, "b:1", 0.7, times=2000)]
    before = taught(bad)
    assert chances(before)["a:1"] < 0.02
    seldom = [step for _ in range(6) for step in (("a:1", 1.0), *drawn(luck, "b:1", 0.7, times=40))]
    assert chances(taught(seldom, state=before))["a:1"] > 0.5


def graded(luck: Random, arm: str, mean: float, *, times: int) -> list[tuple[str, float]]:
    return [(arm, luck.betavariate(30.0 * mean, 30.0 * (1.0 - mean))) for _ in range(times)]


def test_graded_rewards_decide_where_as_many_coin_flips_would_not() -> None:
    luck = Random(5)
    means = {"a:1": 0.6, "b:1": 0.5, "c:1": 0.4}
    sure, unsure = (
        taught([step for arm, mean in means.items() for step in kind(luck, arm, mean, times=30)])
        for kind in (graded, drawn)
    )
    assert chances(sure)["a:1"] > 0.95
    assert chances(unsure)["a:1"] < 0.8


def test_and_show_a_small_fall_that_as_many_coin_flips_would_not() -> None:
    luck = Random(6)
    counts = [
        choose_beliefs([sums_of(taught(steps))["a:1"]]).counts[0]
        for kind in (graded, drawn)
        for steps in [[*kind(luck, "a:1", 0.7, times=300), *kind(luck, "a:1", 0.55, times=30)]]
    ]
    assert counts[0] < 100.0 < 300.0 < counts[1]


def fallen(*, others_too: bool) -> State:
    """Arms were asked in turn; then the best was never right any more, and another is tried."""
    luck, means = Random(4), {"a:1": 1.0, "b:1": 0.8, "c:1": 0.7}
    turns = [(arm, float(luck.random() < mean)) for _ in range(300) for arm, mean in means.items()]
    return taught([*turns, *[("a:1", 0.0)] * 40, *[("b:1", 0.0 if others_too else 1.0)] * 12])


def before_levels(state: State) -> State:
    return State({name: sums for name, sums in state.sums.items() if name != LEVELS.name})


def mean_of_last(state: State) -> float:
    counts, rewards, _ = choose_beliefs(list(sums_of(state).values()))
    return float(rewards[-1] / counts[-1])


def test_where_another_arm_has_fallen_too_so_has_one_that_nobody_asked() -> None:
    state = fallen(others_too=True)
    assert mean_of_last(before_levels(state)) > 0.5
    assert mean_of_last(state) < 0.2


def test_where_another_has_not_nor_has_one_that_nobody_asked() -> None:
    state = fallen(others_too=False)
    assert mean_of_last(state) == pytest.approx(mean_of_last(before_levels(state)), abs=0.01)
