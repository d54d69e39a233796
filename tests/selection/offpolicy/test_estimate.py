"""Estimates on small logs, worked out by hand, and what is said where there is too little."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from selection.evaluation.offpolicy.estimate import (
    Estimate,
    Method,
    Proposal,
    Verdict,
    estimate,
    gain,
)
from selection.evaluation.offpolicy.intervals import mean_with_interval, student_quantile
from selection.evaluation.offpolicy.log import Log, log_of
from selection.evaluation.offpolicy.reward_model import before, expected_rewards
from tests.selection.offpolicy.logs import asked


def alone(log: Log, arm: str) -> Estimate:
    chances = np.zeros((1, len(log.arms)))
    chances[0, log.place[arm]] = 1.0
    return estimate(log, Proposal(chances=chances))


def drawn(*rows: tuple[str, float, float], arms: str = "ab", **fields: Any) -> Log:
    """Queries that asked one arm each: (arm, propensity, reward)."""
    queries = [asked({a: r}, propensity=p, routed=arms, **fields) for a, p, r in rows]
    return log_of(queries, arms=list(arms))


FOUR = drawn(("a", 0.5, 1.0), ("b", 0.5, 0.0), ("a", 0.25, 0.0), ("a", 0.8, 1.0))


def test_ips_weighs_what_was_earned_by_the_chance_of_it() -> None:
    assert alone(FOUR, "a").ips.reward == pytest.approx((2 + 0 + 0 + 1.25) / 4)
    assert alone(FOUR, "b").ips.reward == 0.0


def test_self_normalised_divides_by_the_weights() -> None:
    assert alone(FOUR, "a").self_normalised.reward == pytest.approx(3.25 / (2 + 4 + 1.25))


def test_doubly_robust_corrects_what_earlier_rows_made_expect() -> None:
    # Means before each row, with one half answer of half a reward: 1/2, 3/4, 3/4, 1/2.
    expected = (0.5 + 2 * 0.5) + 0.75 + (0.75 + 4 * -0.75) + (0.5 + 1.25 * 0.5)
    assert alone(FOUR, "a").doubly_robust.reward == pytest.approx(max(expected / 4, 0.0))
    assert alone(FOUR, "a").method == Method.DOUBLY_ROBUST


def test_a_mixture_of_arms_is_weighed_by_its_chances() -> None:
    mixed = estimate(FOUR, Proposal(chances=np.array([[0.6, 0.4]])))
    weights = np.array([0.6 / 0.5, 0.4 / 0.5, 0.6 / 0.25, 0.6 / 0.8])
    assert mixed.ips.reward == pytest.approx((weights[0] + weights[3]) / 4)
    assert mixed.effective_rows == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert mixed.largest_weight == pytest.approx(2.4)
    assert mixed.mean_weight == pytest.approx(weights.mean())


def test_an_expectation_never_knows_its_own_row_nor_later_ones() -> None:
    model = expected_rewards(FOUR)
    assert model[:, 0] == pytest.approx([0.5, 0.75, 0.75, 0.5])
    assert model[:, 1] == pytest.approx([0.5, 0.5, 0.25, 0.25])


def test_sums_before_a_row_are_those_of_its_own_group() -> None:
    values = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert before(values, groups=np.array([0, 1, 0, 1])).ravel() == pytest.approx([0, 0, 1, 2])


def test_an_expectation_follows_the_context_as_answers_there_grow() -> None:
    rows = [asked({"a": r}, propensity=0.5, context=c) for r, c in ((1.0, "x"), (0.0, "y")) * 100]
    model = expected_rewards(log_of(rows, arms=["a"]))
    assert model[-2, 0] > 0.9 > 0.1 > model[-1, 0]


def test_where_all_arms_were_asked_every_method_sees_the_same() -> None:
    rows = [asked({"a": x, "b": y}) for x, y in ((1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0))]
    found = alone(log_of(rows), "a")
    assert found.method == Method.DIRECT
    assert found.best.reward == pytest.approx(0.75)
    assert found.best == found.ips == found.self_normalised
    assert (found.effective_rows, found.without_overlap) == (4.0, 0.0)


def test_shares_that_weigh_what_several_arms_teach_are_no_chances() -> None:
    rows = [asked({"a": 1.0, "b": 0.0}, propensity=0.2) for _ in range(50)]
    assert alone(log_of(rows), "a").ips.reward == pytest.approx(1.0)


def test_an_arm_that_was_never_asked_gets_no_number() -> None:
    found = alone(drawn(("a", 1.0, 1.0), ("a", 1.0, 0.0)), "b")
    assert (found.verdict, found.best, found.rows) == (Verdict.NONE, None, 0)
    assert found.explanation == "b was never asked here"


def test_rows_in_which_an_arm_had_no_chance_are_left_out() -> None:
    both, only_a = ("a", 0.5, 1.0), ("a", 1.0, 1.0)
    found = alone(drawn(both, ("b", 0.5, 1.0), ("b", 0.5, 0.0), both, only_a, only_a), "b")
    assert found.rows == 4
    assert found.without_overlap == pytest.approx(1 / 3)
    assert found.ips.reward == pytest.approx(0.5)


def test_an_arm_that_was_not_routed_yet_had_no_chance() -> None:
    earlier = [asked({"a": 1.0}, propensity=0.5, routed=("a", "c")) for _ in range(3)]
    later = [asked({"b": 1.0}, propensity=0.5, routed=("a", "b")) for _ in range(2)]
    assert alone(log_of([*earlier, *later], arms=["a", "b", "c"]), "b").rows == 2


def test_what_is_left_to_an_unasked_arm_may_have_earned_anything() -> None:
    rows = [asked({"a": 1.0, "b": 1.0}) for _ in range(2000)]
    chances = np.array([[0.5, 0.45, 0.05]])
    found = estimate(log_of(rows, arms=["a", "b", "new"]), Proposal(chances=chances))
    assert found.best.reward == pytest.approx(1.0)
    assert found.best.low == pytest.approx(0.95, abs=0.01)
    much = Proposal(chances=np.array([[0.5, 0.2, 0.3]]))
    refused = estimate(log_of(rows, arms=["a", "b", "new"]), much)
    assert (refused.verdict, refused.explanation) == (Verdict.NONE, "new was never asked here")


def test_few_answers_are_called_few_however_well_they_agree() -> None:
    found = alone(drawn(*[("a", 0.5, 1.0)] * 5), "a")
    assert found.verdict == Verdict.LITTLE
    assert found.best.low < 0.8


def test_many_answers_are_enough() -> None:
    rows = [asked({"a": float(i % 10 > 0)}) for i in range(1000)]
    found = alone(log_of(rows), "a")
    assert found.verdict == Verdict.ENOUGH
    assert found.best.low < 0.9 < found.best.high
    assert found.best.high - found.best.low < 0.05


def test_weights_that_do_not_average_one_are_told() -> None:
    rows = [("a", 0.9, 1.0)] * 900 + [("b", 0.1, 1.0)] * 300
    found = alone(drawn(*rows), "b")
    assert found.verdict == Verdict.LITTLE
    assert "weights average 2.50 where 1 is expected" in found.explanation


def test_without_feedback_there_is_nothing_to_tell() -> None:
    found = estimate(log_of([], arms=["a"]), Proposal(chances=np.ones((1, 1))))
    assert (found.verdict, found.best) == (Verdict.NONE, None)


def test_a_gain_is_taken_row_by_row() -> None:
    rows = [asked({"a": 1.0, "b": float(i % 2)}) for i in range(400)]
    better = gain(alone(log_of(rows), "a"), earned=np.array([float(i % 2) for i in range(400)]))
    assert better.reward == pytest.approx(0.5)
    same = gain(alone(log_of(rows), "b"), earned=np.array([float(i % 2) for i in range(400)]))
    assert same.reward == 0.0
    assert same.high < 0.01  # luck that both share cancels out


@pytest.mark.parametrize("ours", [0.0, 1.0])
def test_a_gain_is_no_more_than_all_there_is(ours: float) -> None:
    rows = [asked({"a": ours, "b": 1.0 - ours}) for _ in range(30)]
    found = gain(alone(log_of(rows), "a"), earned=np.full(30, 1.0 - ours))
    assert found is not None
    assert (found.low == -1.0, found.high == 1.0) == (ours == 0.0, ours == 1.0)
    assert -1.0 <= found.low <= found.reward <= found.high <= 1.0


def test_there_is_no_gain_where_nothing_was_earned() -> None:
    assert gain(alone(FOUR, "a"), earned=np.full(4, np.nan)) is None


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(0.3, 12.706), (1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042), (1e6, 1.96)],
)
def test_the_quantile_is_that_of_the_tables(freedom: float, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=0.0005)


def test_five_of_five_are_no_certainty() -> None:
    found = mean_with_interval(np.ones(5), weights=np.ones(5))
    assert found.low < 0.5
