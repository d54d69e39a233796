"""Exp4: every arm is asked, every arm that answered learns from its own loss."""

from __future__ import annotations

import math

import pytest

from selection.policies import Selection, State, make_policy

ARMS = {"a:1": 1.0, "b:1": 1.0}
exp4 = make_policy("exp4", {"eta": 0.5})


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_every_arm_is_asked_every_time(uniform):
    assert exp4.prepare(State(), ARMS).select(uniform) == Selection(("a:1", "b:1"), (1, 1))
    assert exp4.prepare(State(), ARMS).probabilities == {"a:1": 1.0, "b:1": 1.0}


def test_weights_are_the_softmax_of_the_log_weights():
    state = State({"a:1": -5.0, "b:1": -5.0 - math.log(4)})
    assert exp4.prepare(state, ARMS).weights == pytest.approx({"a:1": 0.8, "b:1": 0.2})


def test_each_arm_that_answered_moves_by_its_loss():
    deltas = exp4.observe(losses={"a:1": 1.0, "b:1": 0.0}, propensities={})
    assert deltas == {"a:1": -0.5, "b:1": 0.0}


def test_a_weak_arm_does_not_move_faster_for_being_weak():
    assert exp4.observe(losses={"a:1": 1.0}, propensities={"a:1": 1e-9}) == {"a:1": -0.5}
