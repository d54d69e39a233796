"""A key is kept with one arm, as far as chances allow, under any policy that asks one at a time."""

import random

import pytest

from selection.policies import Prepared
from selection.policies.rules.rand_linucb import RandLinUCB

KEYS = [f"7:user {n}" for n in range(4000)]


def drawing(**chances: float) -> Prepared:
    arms = {f"{model}:1": chance for model, chance in chances.items()}
    return Prepared.draw_one(weights=arms, probabilities=arms)


def given(ready: Prepared) -> dict[str, str]:
    return {key: ready.assigned(key).arms[0] for key in KEYS}


def share(assignment: dict[str, str], arm: str) -> float:
    return list(assignment.values()).count(arm) / len(assignment)


def test_arms_get_the_share_of_the_keys_that_is_logged_as_their_chance() -> None:
    ready = drawing(a=0.1, b=0.2, c=0.7)
    for arm, chance in ready.probabilities.items():
        assert share(given(ready), arm) == pytest.approx(chance, abs=0.02)
    assert {ready.assigned(key) for key in KEYS} == set(ready.selections)


def test_where_chances_move_only_as_many_keys_move() -> None:
    before, after = given(drawing(a=0.4, b=0.3, c=0.3)), given(drawing(a=0.5, b=0.3, c=0.2))
    moved = [key for key in KEYS if before[key] != after[key]]
    assert len(moved) / len(KEYS) == pytest.approx(0.1, abs=0.04)
    assert {after[key] for key in moved} <= {"a:1", "b:1"}


def test_keys_of_an_arm_that_is_down_go_to_others_and_no_key_is_left_with_it() -> None:
    ready, luck = drawing(a=0.5, b=0.5).reweighted({"a:1": 0.0, "b:1": 1.0}), random.Random(1)
    assert ready.down == {"a:1"}
    asked = {key: [ready.assigned(key, uniform=luck.random()) for _ in range(5)] for key in KEYS}
    assert all(any(s.arms == ("b:1",) for s in one) for one in asked.values())
    probes = [s for one in asked.values() for s in one if s.arms == ("a:1",)]
    assert len(probes) / (5 * len(KEYS)) == pytest.approx(ready.probabilities["a:1"], rel=0.3)
    assert {probe.propensities for probe in probes} == {(ready.probabilities["a:1"],)}


def test_a_query_with_features_is_assigned_by_what_they_make_of_the_chances() -> None:
    policy = RandLinUCB(dimensions=1, floor=0.1, alpha=0.0)
    known = {
        "a:1": (20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0),
        "b:1": (20.0, 0.0, 20.0, 20.0, 20.0, 0.0, 0.0),
    }
    ready = policy.prepare(known, dict.fromkeys(known, 1.0))
    asked = [ready.assigned(key, features=(1.0,)).arms for key in KEYS]
    assert asked.count(("a:1",)) / len(KEYS) == pytest.approx(0.95, abs=0.02)
