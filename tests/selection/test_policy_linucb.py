"""LinUCB: exact values of its source, features checked, sums that are read back as written."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from core.errors import BadRequest
from selection.policies import Policy, make_policy
from selection.policies.linucb import Optimistic
from selection.policies.statistics import State, StatisticKind, Update, join, learn

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0}
PARAMS = {"dimensions": 3, "alpha": 0.7, "ridge": 2.0, "floor": 0.0, "decay": 0.0}
linucb = make_policy("linucb", PARAMS)


def history(count: int, *, seed: int = 1) -> Iterator[tuple[str, tuple[float, ...], float]]:
    luck = random.Random(seed)
    for _ in range(count):
        x = tuple(luck.gauss(0.0, 1.0) for _ in range(3))
        yield luck.choice(list(ARMS)), x, luck.random()


def learned(policy: Policy, events: Any) -> State:
    state = State()
    for arm, x, loss in events:
        deltas = policy.deltas(losses={arm: loss}, propensities={arm: 0.5}, features=x)
        update = Update(
            arms=tuple(ARMS),
            routed=tuple(ARMS),
            observed=(arm,),
            deltas=deltas,
            keep=policy.keep,
            warm_start=policy.warm_start,
        )
        state = learn(state, update)
    return state


def ready(policy: Policy, state: State) -> Optimistic:
    statistics = join(state, ARMS, statistic=policy.statistic, warm_start=policy.warm_start)
    found = policy.prepare(statistics, ARMS)
    assert isinstance(found, Optimistic)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_upper_bounds_are_those_of_its_source(decay: float) -> None:
    """Li, Chu, Langford and Schapire 2010, algorithm 1; decayed, sums fade by the arm's labels."""
    policy = make_policy("linucb", PARAMS | {"decay": decay})
    events, x = list(history(40)), np.array([1.0, 0.3, -1.2, 0.8])
    expected = []
    for arm in ARMS:
        a, b = np.zeros((4, 4)), np.zeros(4)
        for other, given, loss in events:
            features = (1.0, *given)
            if other == arm:
                a, b = a * (1 - decay), b * (1 - decay)
                a += np.outer(features, features)
                b += (1 - loss) * np.array(features)
        a += 2.0 * np.eye(4)
        expected.append(np.linalg.solve(a, b) @ x + 0.7 * np.sqrt(x @ np.linalg.solve(a, x)))
    prepared = ready(policy, learned(policy, events))
    assert prepared.bounds_of.upper_bounds(tuple(x), alpha=0.7) == pytest.approx(expected, rel=1e-9)
    assert prepared.select(0.5, tuple(x[1:])).arms == (list(ARMS)[int(np.argmax(expected))],)


def test_feedback_adds_the_query_its_reward_and_their_products() -> None:
    deltas = linucb.observe(losses={"a:1": 0.25}, propensities={}, features=(2.0, 3.0, 5.0))
    products = (1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 10.0, 9.0, 15.0, 25.0)
    assert deltas == {"a:1": (1.0, 0.75, *products, 0.75, 1.5, 2.25, 3.75)}
    assert linucb.statistic == StatisticKind("reg4", 16, by_arm=16)


def test_where_nothing_is_known_all_arms_tie_and_share() -> None:
    chances = ready(linucb, State()).chances((1.0, 0.0, 0.0))
    assert chances == pytest.approx(dict.fromkeys(ARMS, 1 / 3))


def test_arms_that_differ_whatever_the_features_are_told_apart() -> None:
    events = [(arm, (0.0, 0.0, 0.0), loss) for arm, loss in zip(ARMS, (0.5, 0.1, 0.9), strict=True)]
    chances = ready(linucb, learned(linucb, events * 30)).chances((0.0, 0.0, 0.0))
    assert chances == {"a:1": 0.0, "b:1": 1.0, "c:1": 0.0}


def test_the_floor_is_spread_evenly_and_logged() -> None:
    floored = make_policy("linucb", PARAMS | {"floor": 0.3})
    prepared, x = ready(floored, learned(floored, history(40))), (0.3, -1.2, 0.8)
    chances = prepared.chances(x)
    assert sorted(chances.values()) == pytest.approx([0.1, 0.1, 0.8])
    asked: dict[str, int] = {}
    for step in range(1000):
        (arm,), (chance,) = prepared.select(step / 1000, x)
        assert chance == chances[arm]
        asked[arm] = asked.get(arm, 0) + 1
    assert {arm: n / 1000 for arm, n in asked.items()} == pytest.approx(chances, abs=0.002)
    assert prepared.select(1 - 2**-53, x).arms[0] in ARMS


def test_it_learns_whom_to_ask_for_which_query() -> None:
    policy, luck = make_policy("linucb", {"dimensions": 2}), random.Random(3)
    state, right = State(), 0
    for query in range(1500):
        kind = luck.random() < 0.5
        x = (1.0, 0.0) if kind else (0.0, 1.0)
        (arm,), (chance,) = ready(policy, state).select(luck.random(), x)
        # One arm is good at each kind; the third is never better than chance.
        wrong = {"a:1": 0.1 if kind else 0.6, "b:1": 0.6 if kind else 0.1, "c:1": 0.5}[arm]
        right += query >= 500 and wrong == 0.1
        update = Update(
            arms=tuple(ARMS),
            routed=tuple(ARMS),
            observed=(arm,),
            deltas=policy.deltas(
                losses={arm: float(luck.random() < wrong)},
                propensities={arm: chance},
                features=x,
            ),
            keep=policy.keep,
            warm_start=policy.warm_start,
        )
        state = learn(state, update)
    assert right / 1000 > 0.85


@pytest.mark.parametrize("features", [(), (1.0,), (1.0, 2.0, 3.0, 4.0)])
def test_another_number_of_features_is_refused_with_both_numbers(
    features: tuple[float, ...],
) -> None:
    with pytest.raises(BadRequest, match=f"expected an array of 3 numbers, got {len(features)}"):
        linucb.encode(features)


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 1e7])
def test_features_that_no_sum_survives_are_refused(x: float) -> None:
    with pytest.raises(BadRequest, match="expected numbers from -1e"):
        linucb.encode((0.0, x, 1.0))


def test_feedback_on_a_query_with_other_features_teaches_no_regression() -> None:
    assert linucb.observe(losses={"a:1": 0.5}, propensities={}, features=()) == {}
    deltas = linucb.deltas(losses={"a:1": 0.5}, propensities={}, features=(1.0,))
    assert [statistic.name for statistic, by_arm in deltas.items() if by_arm] == ["rew", "ev"]


def test_the_largest_features_leave_finite_bounds() -> None:
    policy = make_policy("linucb", {"dimensions": 16, "ridge": 1e-3, "decay": 0.0})
    x = tuple(1e6 * (-1) ** i for i in range(16))
    state = State()
    for arm in ARMS:
        sums = policy.observe(losses={arm: 0.0}, propensities={}, features=x)[arm]
        state = State({**state.sums, "reg17": {**state.of(policy.statistic), arm: sums}})
    state = State(
        {"reg17": {arm: tuple(1e6 * s for s in v) for arm, v in state.sums["reg17"].items()}}
    )
    bounds = ready(policy, state).bounds_of.upper_bounds((1.0, *x), alpha=1.0)
    assert all(map(math.isfinite, bounds))
