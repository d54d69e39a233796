"""Exp3: exact values of its probabilities and of its update."""

import math

import pytest

from selection.policies import make_policy
from selection.policies.policy import Observation

ARMS = {"a:1": 1.0, "b:1": 1.0}
LEARNED = {"a:1": (0.0,), "b:1": (-math.log(3),)}
exp3 = make_policy("exp3", {"eta": 0.2, "floor": 0.1})


def test_probabilities_mix_the_softmax_with_the_floor() -> None:
    assert exp3.prepare(LEARNED, ARMS).weights == pytest.approx({"a:1": 0.75, "b:1": 0.25})
    assert exp3.prepare(LEARNED, ARMS).probabilities == pytest.approx({"a:1": 0.725, "b:1": 0.275})


@pytest.mark.parametrize(
    ("uniform", "arm"), [(0.0, "a:1"), (0.7249, "a:1"), (0.7251, "b:1"), (1 - 2**-53, "b:1")]
)
def test_one_arm_is_drawn_by_its_probability(uniform: float, arm: str) -> None:
    selection = exp3.prepare(LEARNED, ARMS).select(uniform)
    assert selection.arms == (arm,)
    assert selection.propensities == pytest.approx((0.725 if arm == "a:1" else 0.275,))


def test_a_loss_weighs_more_the_rarer_the_arm_was_asked() -> None:
    delta = exp3.observe(Observation({"b:1": 0.5}, {"b:1": 0.25}))
    assert delta == {"b:1": (pytest.approx(-0.2 * 0.5 / 0.25),)}


def test_a_tiny_propensity_bounds_the_step() -> None:
    deltas = exp3.observe(Observation({"a:1": 1.0}, {"a:1": 1e-12}))
    assert deltas == {"a:1": (pytest.approx(-0.2 * 1000),)}
