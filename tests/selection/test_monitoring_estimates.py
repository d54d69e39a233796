"""Rewards of arms and the regret, out of sums that add up, with the formulas' exact values."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import pytest

from selection.evaluation.answer_rule import AnswerRule
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.monitoring import estimates
from selection.evaluation.monitoring.aggregates import ArmSums, RewardSums, added, of_round
from selection.evaluation.monitoring.rewards import Trust, earned_by, tallied
from selection.evaluation.rows import Outputs, logged
from selection.rewards.losses import make_loss

ANY = Trust(weights={}, probabilities={})
VOTES = AnswerRule(loss=make_loss(), how="vote")


def rounds(pairs: Iterable[tuple[float, float | None, float]]) -> ArmSums:
    """Sum rounds of (earned, reward of the arm or None, its chance to be asked)."""
    parts = ({"a": of_round(earned=e, reward=r, propensity=p)} for e, r, p in pairs)
    return added(parts)["a"]


def test_the_regret_is_what_the_best_arm_would_have_earned_more() -> None:
    # In 40 rounds a was right in the first 30, b in those from 10 to 29, and b's answer was given.
    a = rounds((1.0 if 10 <= t < 30 else 0.0, float(t < 30), 1.0) for t in range(40))
    b = rounds((1.0 if 10 <= t < 30 else 0.0, float(10 <= t < 30), 1.0) for t in range(40))

    regret = estimates.regret({"b:1": b, "a:1": a})

    assert regret is not None
    assert (regret.arm, regret.rounds) == ("a:1", 40)
    half = 1.96 * math.sqrt(40 * 0.25 * 0.75)  # that of the differences, 1 in ten rounds, else 0
    assert regret.total == pytest.approx((10.0, 10.0 - half, 10.0 + half))
    assert estimates.gain(b) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)


def test_what_several_arms_earn_together_may_beat_each_alone() -> None:
    # Two arms, each wrong where the other is right; the answer is always right.
    a = rounds((1.0, float(t % 2), 1.0) for t in range(100))
    b = rounds((1.0, float(1 - t % 2), 1.0) for t in range(100))

    regret = estimates.regret({"a:1": a, "b:1": b})

    assert regret is not None
    assert regret.total.value == pytest.approx(-50.0)
    assert regret.total.high < 0.0


def test_where_one_arm_is_asked_each_reward_counts_by_one_over_its_chance() -> None:
    # Asked with a chance of 0.8 it earned 1, with 0.2 it earned 0: (1/0.8) / (1/0.8 + 1/0.2).
    sums = rounds([(1.0, 1.0, 0.8)] * 64 + [(0.0, 0.0, 0.2)] * 64 + [(0.5, None, 0.0)] * 72)

    gain = estimates.gain(sums)

    assert gain is not None
    assert gain.value == pytest.approx(0.2 - (64 + 36) / 200)
    assert (sums.rounds, sums.seen) == (200, 128)


def test_the_interval_of_an_arm_that_is_always_right_comes_from_what_was_earned() -> None:
    sums = rounds([(1.0, 1.0, 0.8)] * 160 + [(0.0, None, 0.0)] * 40)

    half = 1.96 * math.sqrt(200 * 0.8 * 0.2) / 200
    assert estimates.gain(sums) == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    chance = random.Random(1)
    held = 0
    for _ in range(400):
        pairs: list[tuple[float, float | None, float]] = []
        for _ in range(300):
            reward_a, reward_b = float(chance.random() < 0.8), float(chance.random() < 0.6)
            asked = chance.random() < 0.3
            pairs.append((reward_a if asked else reward_b, reward_a if asked else None, 0.3))
        gain = estimates.gain(rounds(pairs))
        assert gain is not None
        held += gain.low <= 0.8 - (0.3 * 0.8 + 0.7 * 0.6) <= gain.high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(("n", "known"), [(29, False), (30, True)])
def test_an_arm_of_which_too_little_is_known_is_not_compared(n: int, known: bool) -> None:
    sums = rounds([(0.0, 1.0, 1.0)] * n)

    assert (estimates.gain(sums) is not None) is known
    assert (estimates.regret({"a:1": sums}) is not None) is known


def test_an_accuracy_comes_with_wilsons_interval() -> None:
    # As in Brown, Cai and DasGupta (2001): 0 of 10 is 0 to 0.278, 5 of 10 is 0.237 to 0.763.
    assert estimates.share(part=0, of=10) == pytest.approx((0.0, 0.0, 0.2775), abs=1e-4)
    assert estimates.share(part=5, of=10) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)
    assert estimates.share(part=10, of=10) == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)
    assert estimates.share(part=0, of=0) is None


# What was earned.


def arm(
    name: str, *, output: str | None, loss: float | None, propensity: float = 1.0
) -> dict[str, Any]:
    return {"arm": name, "propensity": propensity, "output": output, "loss": loss}


def told(*arms: dict[str, Any], **how: Any) -> LoggedQuery:
    """Return one piece of feedback as it is read back; it says something."""
    query = read_back(*arms, **how)
    assert query is not None
    return query


def read_back(
    *arms: dict[str, Any],
    label: str | None = "7",
    reward: float | None = None,
    on_query: bool = True,
) -> LoggedQuery | None:
    """Return one piece of feedback as it is read back; None where it says nothing."""
    row = {
        "arms": arms,
        "label": label if reward is None else None,
        "reward": reward,
        "context": "",
        "routed": ["a:1", "b:1", "c:1"],
        "features": [],
        "kind": "receipt" if on_query else "input",
    }
    return logged(row, outputs=Outputs(), rule=VOTES)


def test_one_arm_that_was_asked_earned_its_own_reward() -> None:
    assert earned_by(told(arm("a:1", output="7", loss=0.25)), trust=ANY, rule=VOTES) == 0.75


def test_a_reward_is_that_of_the_answer() -> None:
    arms = (arm("a:1", output="7", loss=0.6), arm("b:1", output="8", loss=0.6))

    assert earned_by(told(*arms, reward=0.4), trust=ANY, rule=VOTES) == 0.4


def test_a_vote_earned_what_the_answer_with_the_most_trust_did() -> None:
    arms = (
        arm("a:1", output="7", loss=0.0),
        arm("b:1", output="8", loss=1.0),
        arm("c:1", output="8.0", loss=1.0),
    )
    trusting_a = Trust(weights={"a:1": 0.6, "b:1": 0.2, "c:1": 0.2}, probabilities={})

    assert earned_by(told(*arms), trust=trusting_a, rule=VOTES) == 1.0
    assert earned_by(told(*arms), trust=ANY, rule=VOTES) == 0.0


def test_a_vote_whose_own_reward_is_not_known_earned_the_mean_of_those_that_are() -> None:
    arms = (
        arm("a:1", output="7", loss=0.25),
        arm("b:1", output="8", loss=None),
        arm("c:1", output="8", loss=None),
    )

    assert earned_by(told(*arms, label=None), trust=ANY, rule=VOTES) == 0.75


def test_without_a_label_to_judge_the_answer_by_the_mean_by_trust_is_taken() -> None:
    arms = (arm("a:1", output="7.5", loss=0.5), arm("b:1", output="8", loss=1.0))
    trust = Trust(weights={"a:1": 0.75, "b:1": 0.25}, probabilities={})
    means = AnswerRule(loss=make_loss(combine="mean"), how="mean")

    query = told(*arms, label=None)

    assert earned_by(query, trust=trust, rule=means) == pytest.approx(0.375)


def test_numbers_earned_what_their_combined_answer_did_and_not_what_they_did_on_average() -> None:
    arms = (arm("a:1", output="6.5", loss=0.5), arm("b:1", output="7.5", loss=0.5))
    means = AnswerRule(loss=make_loss(combine="mean"), how="mean")

    assert earned_by(told(*arms), trust=ANY, rule=means) == 1.0


def test_an_answer_too_unsure_earned_what_the_default_output_did() -> None:
    arms = (arm("a:1", output="7", loss=0.0), arm("b:1", output="8", loss=1.0))
    cautious = AnswerRule(loss=make_loss(), threshold=0.9, default_output=b"-1")
    trust = Trust(weights={"a:1": 0.6, "b:1": 0.4}, probabilities={})

    assert earned_by(told(*arms), trust=trust, rule=cautious) == 0.0


def test_an_arm_asked_for_certain_counts_once_whatever_share_was_logged_for_it() -> None:
    arms = (
        arm("a:1", output="7", loss=0.0, propensity=0.9),
        arm("b:1", output="7", loss=0.0, propensity=0.1),
    )

    _, sums = tallied([told(*arms)], trust=ANY, rule=VOTES)

    assert (sums["a:1"].a, sums["b:1"].a) == (1.0, 1.0)


def test_a_labelled_input_earned_what_the_arms_that_would_have_been_asked_did() -> None:
    arms = (arm("a:1", output="7", loss=0.0), arm("b:1", output="8", loss=1.0))
    one = Trust(weights={}, probabilities={"a:1": 0.3, "b:1": 0.7})

    assert earned_by(told(*arms, on_query=False), trust=one, rule=VOTES) == pytest.approx(0.3)


def test_an_arm_that_gave_no_answer_is_no_voter_but_has_its_loss() -> None:
    arms = (arm("a:1", output="7", loss=0.0), arm("b:1", output=None, loss=0.8))

    earned, sums = tallied([told(*arms)], trust=ANY, rule=VOTES)

    assert earned == RewardSums(1.0, 1.0, 1.0)
    assert sums["b:1"].reward == pytest.approx(0.2)
    assert (sums["c:1"].rounds, sums["c:1"].seen) == (1.0, 0.0)


def test_feedback_that_says_nothing_of_any_arm_is_left_out() -> None:
    assert read_back(arm("a:1", output=None, loss=None)) is None
