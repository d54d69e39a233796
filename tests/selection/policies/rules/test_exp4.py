"""Exp4: every arm is asked, every arm that answered learns from its own loss."""

import math

import pytest

from selection.policies import Selection, make_policy
from selection.policies.policy import Observation

ARMS = {"a:1": 1.0, "b:1": 1.0}
EQUAL = {"a:1": (0.0,), "b:1": (0.0,)}
ONE_TO_FOUR = {"a:1": (-5.0,), "b:1": (-5.0 - math.log(4),)}
exp4 = make_policy("exp4", {"eta": 0.5})


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_every_arm_is_asked_every_time(uniform: float) -> None:
    assert exp4.prepare(EQUAL, ARMS).select(uniform) == Selection(("a:1", "b:1"), (1, 1))
    assert exp4.prepare(EQUAL, ARMS).probabilities == {"a:1": 1.0, "b:1": 1.0}


def test_weights_are_the_softmax_of_the_log_weights() -> None:
    assert exp4.prepare(ONE_TO_FOUR, ARMS).weights == pytest.approx({"a:1": 0.8, "b:1": 0.2})


def test_each_arm_that_answered_moves_by_its_loss() -> None:
    deltas = exp4.observe(Observation({"a:1": 1.0, "b:1": 0.0}, {}))
    assert deltas == {"a:1": (-0.5,), "b:1": (0.0,)}


def test_a_weak_arm_does_not_move_faster_for_being_weak() -> None:
    assert exp4.observe(Observation({"a:1": 1.0}, {"a:1": 1e-9})) == {"a:1": (-0.5,)}
