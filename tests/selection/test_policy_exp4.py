"""Exp4: every arm is asked, every arm that answered learns from its own loss."""

from __future__ import annotations

import math

import pytest

from selection.policies import Selection, make_policy

ARMS = {"a:1": 1.0, "b:1": 1.0}
EQUAL = {"a:1": (0.0,), "b:1": (0.0,)}
ONE_TO_FOUR = {"a:1": (-5.0,), "b:1": (-5.0 - math.log(4),)}
exp4 = make_policy("exp4", {"eta": 0.5})
importance = make_policy("exp4", {"eta": 0.5, "importance": 1})


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_every_arm_is_asked_every_time(uniform: float) -> None:
    assert exp4.prepare(EQUAL, ARMS).select(uniform) == Selection(("a:1", "b:1"), (1, 1))
    assert exp4.prepare(EQUAL, ARMS).probabilities == {"a:1": 1.0, "b:1": 1.0}


def test_weights_are_the_softmax_of_the_log_weights() -> None:
    assert exp4.prepare(ONE_TO_FOUR, ARMS).weights == pytest.approx({"a:1": 0.8, "b:1": 0.2})


def test_each_arm_that_answered_moves_by_its_loss() -> None:
    deltas = exp4.observe(losses={"a:1": 1.0, "b:1": 0.0}, propensities={})
    assert deltas == {"a:1": (-0.5,), "b:1": (0.0,)}


def test_a_weak_arm_does_not_move_faster_for_being_weak() -> None:
    assert exp4.observe(losses={"a:1": 1.0}, propensities={"a:1": 1e-9}) == {"a:1": (-0.5,)}


def test_by_importance_a_loss_is_divided_by_the_share_of_trust_at_the_time() -> None:
    ready = importance.prepare(ONE_TO_FOUR, ARMS)
    selection = ready.select(0.5)
    assert selection.arms == ("a:1", "b:1")
    assert selection.propensities == pytest.approx((0.8, 0.2))
    assert ready.probabilities == {"a:1": 1.0, "b:1": 1.0}
    chances = dict(zip(selection.arms, selection.propensities, strict=True))
    deltas = importance.observe(losses={"a:1": 1.0, "b:1": 0.5}, propensities=chances)
    # s <- s * exp(-eta * L / (s / sum of s))
    assert deltas["a:1"] == pytest.approx((-0.5 * 1.0 / 0.8,))
    assert deltas["b:1"] == pytest.approx((-0.5 * 0.5 / 0.2,))


def test_by_importance_a_share_next_to_nothing_bounds_the_step() -> None:
    deltas = importance.observe(losses={"a:1": 1.0}, propensities={"a:1": 1e-12})
    assert deltas == {"a:1": (pytest.approx(-500.0),)}
