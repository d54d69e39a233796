"""RandLinUCB: exact values of its formula, the share of newcomers, what arms learn together."""

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from selection.policies import Policy
from selection.policies.arithmetic.sums import State, join, learn
from selection.policies.rules.rand_linucb import RandLinUCB, RandomisedBounds

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0}
ALPHA, RIDGE = 0.7, 2.0
PLAIN = RandLinUCB(dimensions=3, alpha=ALPHA, ridge=RIDGE, floor=0.0, decay=0.0)
Event = tuple[str, tuple[float, ...], float]


def history(count: int, *, seed: int = 1) -> Iterator[Event]:
    luck = random.Random(seed)
    for _ in range(count):
        x = tuple(luck.gauss(0.0, 1.0) for _ in range(3))
        yield luck.choice(list(ARMS)), x, luck.random()


def after(policy: Policy, events: list[Event], *, state: State | None = None) -> State:
    known = state or State()
    for arm, x, loss in events:
        update = policy.update(arms=ARMS, losses={arm: loss}, propensities={arm: 0.5}, features=x)
        known = learn(known, update)
    return known


def ready(policy: Policy, state: State) -> RandomisedBounds:
    statistics = join(state, ARMS, statistic=policy.statistic, warm_start=policy.warm_start)
    found = policy.prepare(statistics, ARMS)
    assert isinstance(found, RandomisedBounds)
    return found


def by_hand(events: list[Event], x: np.ndarray) -> dict[str, float]:
    """Return each arm's share of the draws, from sums made one by one."""
    matrices = {arm: np.zeros((4, 4)) for arm in ARMS}
    rewarded = {arm: np.zeros(4) for arm in ARMS}
    for arm, given, loss in events:
        features = np.array((1.0, *given))
        matrices[arm] += np.outer(features, features)
        rewarded[arm] += (1.0 - loss) * features
    together = sum(matrices.values()) + RIDGE * np.eye(4)
    shared = np.linalg.solve(together, sum(rewarded.values()))
    won = dict.fromkeys(ARMS, 0)
    for draw in range(16):
        u = (draw + 0.5) / 16
        bounds = {}
        for arm in ARMS:
            penalised = matrices[arm] + RIDGE * np.eye(4)
            own = np.linalg.solve(penalised, rewarded[arm] - matrices[arm] @ shared)
            spread = x @ np.linalg.solve(penalised, x)
            bounds[arm] = (shared + own) @ x + ALPHA * np.sqrt(u * spread)
        won[max(bounds, key=bounds.__getitem__)] += 1
    return {arm: count / 16 for arm, count in won.items()}


def test_chances_are_how_often_each_bound_is_the_highest() -> None:
    policy, events = PLAIN, list(history(40))
    prepared, luck = ready(policy, after(policy, events)), random.Random(4)
    mixed = 0
    for _ in range(30):
        x = tuple(luck.gauss(0.0, 1.0) for _ in range(3))
        chances = prepared.chances(x)
        assert chances == pytest.approx(by_hand(events, np.array((1.0, *x))))
        mixed += max(chances.values()) < 1.0
    assert mixed


def test_what_makes_queries_hard_for_all_is_learned_from_all_labels() -> None:
    """An arm with few labels is forecast by what the others' labels say of such queries."""
    policy, luck = replace(PLAIN, alpha=0.0), random.Random(2)
    events: list[Event] = []
    for place in range(600):
        x = (luck.uniform(-1.0, 1.0), 0.0, 0.0)
        # "a:1" is right a little more often than "b:1", whatever the query.
        arm = "c:1" if place % 60 == 0 else ("a:1", "b:1")[place % 2]
        right = 0.5 + 0.4 * x[0] + (0.05 if arm == "a:1" else 0.0)
        events.append((arm, x, 1.0 - right))
    prepared = ready(policy, after(policy, events))
    regression = prepared.regression
    easy = regression.coefficients @ (1.0, 1.0, 0.0, 0.0)
    hard = regression.coefficients @ (1.0, -1.0, 0.0, 0.0)
    assert easy[2] - hard[2] == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_large_features_that_say_the_same_leave_it_able_to_choose(size: float) -> None:
    x = (size, size, size)
    events: list[Event] = [("a:1" if n % 2 else "b:1", x, n % 2 * 0.5) for n in range(40)]
    policy = replace(PLAIN, floor=0.01)
    chances = ready(policy, after(policy, events)).chances(x)
    assert min(chances.values()) > 0.0
    assert chances["b:1"] > chances["a:1"]


def test_every_arm_keeps_a_chance_and_newcomers_no_more_than_their_share() -> None:
    policy = replace(PLAIN, floor=0.01, newcomers=0.05)
    events = [event for event in history(300) if event[0] != "c:1"]
    for x in ((0.5, 0.1, -2.0), (-3.0, 1.0, 2.0)):
        chances = ready(policy, after(policy, events)).chances(x)
        assert 0.0 < chances["c:1"] <= 0.05 + 0.01
        assert min(chances.values()) > 0.0
        assert sum(chances.values()) == pytest.approx(1.0)
