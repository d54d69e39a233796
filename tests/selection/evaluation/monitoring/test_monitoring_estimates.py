"""Rewards of arms and the regret, out of sums that add up, with the formulas' exact values."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from selection.evaluation.logged import AnswerRule, LoggedQuery, Outputs, logged
from selection.evaluation.monitoring import estimates
from selection.evaluation.monitoring.aggregates import (
    ArmSums,
    RewardSums,
    Trust,
    added,
    earned_by,
    of_round,
    tallied,
)
from selection.inference import WeightedSums, weighted_lower
from selection.rewards.losses import make_loss

ANY = Trust(weights={}, probabilities={})
VOTES = AnswerRule(loss=make_loss(), how="vote")


def rounds(pairs: Iterable[tuple[float, float | None, float]]) -> ArmSums:
    """Sum rounds of (earned, reward of the arm or None, its chance to be asked)."""
    parts = ({"a": of_round(earned=e, reward=r, propensity=p)} for e, r, p in pairs)
    return added(parts)["a"]


def test_a_regret_is_told_as_what_it_is_at_least_and_at_most() -> None:
    # In 4,000 rounds a was right in three of four, b in half of these, and b's answer was given.
    a = rounds((float(t % 4 < 2), float(t % 4 < 3), 1.0) for t in range(4_000))
    b = rounds((float(t % 4 < 2), float(t % 4 < 2), 1.0) for t in range(4_000))

    regret = estimates.regret({"b:1": b, "a:1": a})

    assert regret is not None
    assert (regret.arm, regret.rounds) == ("a:1", 4_000)
    assert 800.0 < regret.low < 1_000.0 < regret.high < 1_200.0


def test_what_several_arms_earn_together_may_beat_each_alone() -> None:
    # Two arms, each wrong where the other is right; the answer is always right.
    a = rounds((1.0, float(t % 2), 1.0) for t in range(1_000))
    b = rounds((1.0, float(1 - t % 2), 1.0) for t in range(1_000))

    regret = estimates.regret({"a:1": a, "b:1": b})

    assert regret is not None
    assert regret.low < -500.0 < regret.high < 0.0


def test_where_one_arm_is_asked_each_reward_counts_by_one_over_its_chance() -> None:
    # Asked with a chance of 0.8 it earned 1, with 0.2 it earned 0: (1/0.8) / (1/0.8 + 1/0.2).
    sums = rounds([(1.0, 1.0, 0.8)] * 64 + [(0.0, 0.0, 0.2)] * 64 + [(0.5, None, 0.0)] * 72)

    gain = estimates.gain(sums)

    assert gain is not None
    assert gain.value == pytest.approx(0.2 - (64 + 36) / 200)
    assert (sums.rounds, sums.seen) == (200, 128)


def test_a_gain_lies_between_the_bounds_of_its_terms_and_of_those_turned_round() -> None:
    told = [(1.0, 1.0, 0.5), (0.25, 0.25, 0.5), (0.5, None, 0.0), (0.75, None, 0.0)] * 50
    more = [r / p - e if r is not None else -e for e, r, p in told]
    less = [(1.0 - r) / p - (1.0 - e) if r is not None else e - 1.0 for e, r, p in told]

    gain = estimates.gain(rounds(told), arms=3)

    def lower(terms: list[float]) -> float:
        sums = WeightedSums(200.0, sum(terms), sum(x * x for x in terms))
        return weighted_lower(sums, alpha=0.05 / 3 / 2)

    assert gain is not None
    assert (gain.low, gain.high) == pytest.approx((lower(more), -lower(less)))


def equal_arms(seed: int, *, arms: int, labels: int) -> Iterator[dict[str, ArmSums]]:
    """Yield the sums every hundred labels: all arms are right in 90 %, and asked alike."""
    chance, total = random.Random(seed), dict[str, ArmSums]()
    for label in range(1, labels + 1):
        asked, reward = chance.randrange(arms), float(chance.random() < 0.9)
        told = {
            f"{arm}:1": of_round(
                earned=reward, reward=reward if arm == asked else None, propensity=1 / arms
            )
            for arm in range(arms)
        }
        total = added((total, told))
        if label % 100 == 0:
            yield total


def test_equal_arms_that_are_looked_at_every_hundred_labels_show_no_gain() -> None:
    def alarmed(seed: int) -> bool:
        return any(
            gain is not None and not gain.low <= 0.0 <= gain.high
            for sums in equal_arms(seed, arms=2, labels=1_000)
            for gain in (estimates.gain(arm, arms=2) for arm in sums.values())
        )

    assert sum(map(alarmed, range(40))) <= 2


def test_of_twenty_equal_arms_none_is_said_to_have_been_missed() -> None:
    regrets = [estimates.regret(sums) for sums in equal_arms(1, arms=20, labels=1_000)]

    assert len(regrets) == 10
    assert all(regret is not None and regret.low <= 0.0 <= regret.high for regret in regrets)


def test_an_arm_without_a_reward_is_not_compared() -> None:
    sums = rounds([(1.0, None, 0.0)] * 30)

    assert estimates.gain(sums) is None
    assert estimates.regret({"a:1": sums}) is None


def test_of_more_arms_each_interval_is_wider() -> None:
    sums = rounds([(1.0, 1.0, 0.5)] * 50 + [(0.0, None, 0.0)] * 50)

    alone, among = estimates.gain(sums), estimates.gain(sums, arms=20)

    assert alone is not None
    assert among is not None
    assert among.low < alone.low
    assert alone.value == among.value == 0.5


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
        "key": "",
        "routed": ["a:1", "b:1", "c:1"],
        "features": [],
        "kind": "receipt" if on_query else "input",
    }
    return logged(row, outputs=Outputs(), rule=VOTES)


def test_one_arm_that_was_asked_earned_its_own_reward() -> None:
    assert earned_by(told(arm("a:1", output="7", loss=0.25)), trust=ANY, rule=VOTES) == 0.75


def test_what_asking_took_goes_off_the_reward_of_the_answer() -> None:
    one = arm("a:1", output="7", loss=0.5) | {"lateness": 0.25, "cost": 0.125}
    other = arm("b:1", output="8", loss=0.5) | {"lateness": 0.5, "cost": 0.0}
    assert earned_by(told(one, reward=0.75), trust=ANY, rule=VOTES) == 0.375
    assert earned_by(told(one, other, reward=0.75), trust=ANY, rule=VOTES) == 0.125
    assert earned_by(told(one, other, reward=0.5), trust=ANY, rule=VOTES) == 0.0


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
