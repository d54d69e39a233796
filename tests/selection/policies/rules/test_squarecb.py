"""SquareCB: exact values of its source, and features beyond what it keeps are hashed."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadRequest
from selection.policies.arithmetic.sums import State, learn
from selection.policies.rules.contextual import Contextual
from selection.policies.rules.squarecb import SquareCB
from selection.store.codec import prepared

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0}
PLAIN = SquareCB(dimensions=3, gamma=5.0, ridge=2.0, decay=0.0, newcomers=1.0)
Event = tuple[str, tuple[float, ...], float]


def history(count: int) -> list[Event]:
    luck = random.Random(1)
    return [
        (luck.choice(list(ARMS)), tuple(luck.gauss(0.0, 1.0) for _ in range(3)), luck.random())
        for _ in range(count)
    ]


def ready(policy: SquareCB, events: list[Event]) -> Contextual:
    state = State()
    for arm, x, loss in events:
        update = policy.update(arms=ARMS, losses={arm: loss}, propensities={arm: 0.5}, features=x)
        state = learn(state, update)
    found = prepared(policy, state, ARMS)
    assert isinstance(found, Contextual)
    return found


def test_chances_are_those_of_its_source() -> None:
    """Foster and Rakhlin 2020, algorithm 1: mu = K, and gamma as the root of the labels."""
    events, x = history(40), np.array([1.0, 0.3, -1.2, 0.8])
    a, b = {arm: 0.0 * np.eye(4) for arm in ARMS}, {arm: np.zeros(4) for arm in ARMS}
    for arm, given, loss in events:
        features = np.array((1.0, *given))
        a[arm] += np.outer(features, features)
        b[arm] += (1.0 - loss) * features
    penalty = 2.0 * np.eye(4)
    shared = np.linalg.solve(sum(a.values()) + penalty, sum(b.values()))
    promised = {
        arm: x @ (shared + np.linalg.solve(a[arm] + penalty, b[arm] - a[arm] @ shared))
        for arm in ARMS
    }
    best, gamma = max(promised, key=promised.__getitem__), 5.0 * math.sqrt(40.0)
    expected = {
        arm: 1.0 / (3.0 + gamma * (promised[best] - r))
        for arm, r in promised.items()
        if arm != best
    }
    expected[best] = 1.0 - sum(expected.values())
    assert ready(PLAIN, events).chances(tuple(x[1:])) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_large_features_that_say_the_same_leave_it_able_to_choose(size: float) -> None:
    x = (size, size, size)
    events: list[Event] = [("a:1" if n % 2 else "b:1", x, n % 2 * 0.5) for n in range(40)]
    chances = ready(PLAIN, events).chances(x)
    assert min(chances.values()) > 0.0
    assert chances["b:1"] > chances["a:1"]


def test_every_arm_keeps_a_chance_and_newcomers_no_more_than_their_share() -> None:
    events = [event for event in history(300) if event[0] != "c:1"]
    for x in ((0.5, 0.1, -2.0), (-3.0, 1.0, 2.0)):
        chances = ready(replace(PLAIN, newcomers=0.05), events).chances(x)
        assert 0.0 < chances["c:1"] <= 0.05
        assert min(chances.values()) > 0.0
        assert math.fsum(chances.values()) == pytest.approx(1.0)


def test_further_ones_are_added_up_in_buckets_with_signs() -> None:
    policy = SquareCB(dimensions=200)
    assert policy.coefficients == 33
    units = [policy.encode([float(n == place) for n in range(200)]) for place in range(200)]
    assert {sum(map(abs, unit)) for unit in units} == {1.0}
    used = {next(n for n, x in enumerate(unit) if x) for unit in units}
    assert used == set(range(32))
    luck = random.Random(2)
    x = [luck.gauss(0.0, 1.0) for _ in range(200)]
    encoded = policy.encode(x)
    expected = np.array(x) @ np.array(units)
    assert encoded == pytest.approx(expected.tolist())


def test_named_features_are_hashed_and_a_text_is_one_of_its_own() -> None:
    policy = SquareCB(dimensions=40)
    rome, paris = policy.encode({"city": "Rome"}), policy.encode({"city": "Paris"})
    assert len(rome) == 32
    assert rome != paris
    assert rome == policy.encode({"city=Rome": 1.0})
    both = policy.encode({"city": "Rome", "age": 0.5})
    age = policy.encode({"age": 1.0})
    assert both == tuple(r + 0.5 * a for r, a in zip(rome, age, strict=True))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"age": math.inf}, "expected numbers from -1e"),
        ({"a": "x" * 300}, "at most 256 characters"),
        ({str(n): 1.0 for n in range(1025)}, "at most 1024 names, got 1025"),
    ],
)
def test_named_features_are_bounded(given: dict[str, float | str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        SquareCB(dimensions=40).encode(given)
