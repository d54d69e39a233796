"""Estimates on small logs, worked out by hand, and what is said where there is too little."""

from typing import Any

import numpy as np
import pytest

from selection.evaluation.offpolicy.estimate import (
    Estimate,
    Method,
    Proposal,
    estimate,
    gain,
    seen_of,
)
from selection.evaluation.offpolicy.evidence import evidence_of, expected_rewards
from selection.evaluation.offpolicy.intervals import Precision, Verdict, Z
from selection.evaluation.offpolicy.log import Log, log_of
from tests.selection.evaluation.offpolicy.logs import asked


def alone(log: Log, arm: str) -> Estimate:
    chances = np.zeros((1, len(log.arms)))
    chances[0, log.place[arm]] = 1.0
    return estimate(evidence_of(log), Proposal(chances=chances))


def drawn(*rows: tuple[str, float, float], arms: str = "ab", **fields: Any) -> Log:
    """Queries that asked one arm each: (arm, propensity, reward)."""
    queries = [asked({a: r}, propensity=p, routed=arms, **fields) for a, p, r in rows]
    return log_of(queries, arms=list(arms))


FOUR = drawn(("a", 0.5, 1.0), ("b", 0.5, 0.0), ("a", 0.25, 0.0), ("a", 0.8, 1.0))


def test_doubly_robust_corrects_what_earlier_rows_made_expect() -> None:
    # Means before each row, with one half answer of half a reward: 1/2, 3/4, 3/4, 1/2.
    expected = (0.5 + 2 * 0.5) + 0.75 + (0.75 + 4 * -0.75) + (0.5 + 1.25 * 0.5)
    assert alone(FOUR, "a").best.value == pytest.approx(max(expected / 4, 0.0))
    assert alone(FOUR, "a").method == Method.DOUBLY_ROBUST


def test_an_expectation_never_knows_its_own_row_nor_later_ones() -> None:
    model = expected_rewards(FOUR)
    assert model[:, 0] == pytest.approx([0.5, 0.75, 0.75, 0.5])
    assert model[:, 1] == pytest.approx([0.5, 0.5, 0.25, 0.25])


def test_where_all_arms_were_asked_rewards_are_seen() -> None:
    rows = [asked({"a": x, "b": y}) for x, y in ((1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0))]
    found = alone(log_of(rows), "a")
    assert found.method == Method.DIRECT
    assert found.best.value == pytest.approx(0.75)
    assert (found.effective_rows, found.without_overlap) == (4.0, 0.0)


def test_an_arm_that_was_never_asked_gets_no_number() -> None:
    found = alone(drawn(("a", 1.0, 1.0), ("a", 1.0, 0.0)), "b")
    assert (found.verdict, found.best, found.rows) == (Verdict.NONE, None, 0)
    assert found.explanation == "b was never asked here"


def test_an_arm_without_a_chance_for_long_gets_no_number() -> None:
    """Its rewards until then decided that it lost its chance: they are a biased sample."""
    both, only_a = ("a", 0.5, 1.0), ("a", 1.0, 1.0)
    found = alone(drawn(both, ("b", 0.5, 1.0), ("b", 0.5, 0.0), both, only_a, only_a), "b")
    assert (found.verdict, found.best) == (Verdict.NONE, None)
    assert found.explanation == "b, which it asks, had no chance in 33% of the queries"


def test_versions_that_served_one_after_the_other_are_not_comparable() -> None:
    earlier = [asked({"ac"[i % 2]: 1.0}, propensity=0.5, routed="ac") for i in range(1000)]
    later = [asked({"bc"[i % 2]: 0.0}, propensity=0.5, routed="bc") for i in range(1000)]
    log = log_of([*earlier, *later], arms=["a", "b", "c"])
    a, b, c = (alone(log, arm) for arm in "abc")
    assert (a.verdict, b.verdict) == (Verdict.APART, Verdict.APART)
    assert (a.explanation[0], b.explanation[0]) == ("a", "b")
    assert (a.rows, a.without_overlap) == (1000, 0.5)
    assert (a.best.value, b.best.value) == pytest.approx((1.0, 0.0), abs=0.01)
    assert c.verdict == Verdict.ENOUGH
    everybody = estimate(evidence_of(log), Proposal(chances=np.array([[0.5, 0.0, 0.5]])))
    assert everybody.verdict == Verdict.APART


def test_a_late_label_says_that_the_successor_was_not_there_yet() -> None:
    """`routed` tells of when the label came."""
    late = [asked({"m:1": 1.0}, propensity=0.5, routed=["m:2", "other:1"]) for _ in range(100)]
    log = log_of(late, arms=["m:1", "m:2", "other:1"])
    assert log.served.tolist()[0] == [True, False, True]
    assert alone(log, "m:2").explanation == "m:2 was never asked here"


def test_what_is_left_to_an_unasked_arm_may_have_earned_anything() -> None:
    rows = [asked({"a": 1.0, "b": 1.0}) for _ in range(2000)]
    chances = np.array([[0.5, 0.45, 0.05]])
    found = estimate(evidence_of(log_of(rows, arms=["a", "b", "new"])), Proposal(chances=chances))
    assert found.best.value == pytest.approx(1.0)
    assert found.best.low == pytest.approx(0.95, abs=0.01)
    much = Proposal(chances=np.array([[0.5, 0.2, 0.3]]))
    refused = estimate(evidence_of(log_of(rows, arms=["a", "b", "new"])), much)
    assert (refused.verdict, refused.explanation) == (Verdict.NONE, "new was never asked here")


def test_weights_that_do_not_average_one_are_told() -> None:
    rows = [("ab"[i % 2], 0.25, 1.0) for i in range(3000)]
    found = alone(drawn(*rows), "b")
    assert found.verdict == Verdict.LITTLE
    assert "weights average 2.00 where 1 is expected" in found.explanation


def test_a_lucky_log_is_no_more_precise_than_others() -> None:
    """Never asked while it hardly had a chance: what was seen alone would look precise."""
    often = [("b" if i % 2 else "a", 0.5, 1.0) for i in range(500)]
    hardly = [("a", 0.99, 1.0) for _ in range(1500)]
    lucky = alone(drawn(*often, *hardly), "b")
    assert lucky.verdict == Verdict.LITTLE
    assert lucky.effective_rows < 30
    assert lucky.best.low < 0.9 < 1.0 == lucky.best.high


def test_a_combined_answer_is_known_by_its_people() -> None:
    rewards = np.array([float(i % 50 < 40) for i in range(1000)])
    alone, shared = (seen_of(rewards, people=p) for p in (np.arange(1000), np.arange(1000) % 50))
    assert 900 < alone.worth <= 1000
    assert 30 < shared.worth < 60


def test_right_or_wrong_rewards_have_wilsons_interval() -> None:
    value = Precision(dispersion=0.01, rise=0.002, fall=0.008).around(0.8)
    z = Z
    # With a part for the skewness: at its worst that of one answer.
    shifted = 0.8 + (z * z - 1) / 6 * 0.8 / 100
    a = z * z / 100
    high = (2 * shifted + a + (a * (a + 4 * shifted * (1 - shifted))) ** 0.5) / (2 * (1 + a))
    assert value.high == pytest.approx(high)


@pytest.mark.parametrize("field", ["context", "key"])
@pytest.mark.parametrize("alike", [True, False])
def test_people_who_keep_their_arm_count_for_as_much_as_they_differ(
    alike: bool, field: str
) -> None:
    def reward(context: int, query: int) -> float:
        return float((query if alike else context // 2) % 2)

    rows = [
        asked({"ab"[c % 2]: reward(c, i)}, propensity=0.5, routed="ab", **{field: f"c{c}"})
        for i in range(50)
        for c in range(40)
    ]
    found = alone(log_of(rows), "a")
    assert found.effective_rows == pytest.approx(1000 if alike else 20, rel=0.15)


def test_contexts_whose_arms_are_drawn_for_each_query_are_many_queries() -> None:
    rng = np.random.default_rng(0)
    rows = [
        asked(
            {"ab"[rng.integers(2)]: float(i % 2)}, propensity=0.5, routed="ab", context=f"{i % 9}"
        )
        for i in range(2000)
    ]
    assert alone(log_of(rows, arms="ab"), "a").effective_rows == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("alike", [True, False])
def test_people_whose_arms_are_drawn_for_each_query_count_as_much_as_they_differ(
    alike: bool,
) -> None:
    rng = np.random.default_rng(0)
    rows = [
        asked(
            {"ab"[rng.integers(2)]: float((i if alike else key) % 2)},
            propensity=0.5,
            routed="ab",
            key=f"{key}",
        )
        for i in range(50)
        for key in range(40)
    ]
    found = alone(log_of(rows, arms="ab"), "a")
    assert found.effective_rows == pytest.approx(1000 if alike else 40, rel=0.15)


def test_a_gain_is_taken_row_by_row() -> None:
    rows = [asked({"a": 1.0, "b": float(i % 2)}) for i in range(400)]
    earned, people = np.array([float(i % 2) for i in range(400)]), np.arange(400)
    better = gain(alone(log_of(rows), "a"), earned=earned, people=people)
    assert better.value == pytest.approx(0.5)
    same = gain(alone(log_of(rows), "b"), earned=earned, people=people)
    assert same.value == 0.0
    assert same.high < 0.01  # luck that both share cancels out


def test_labels_of_few_people_leave_a_gain_open() -> None:
    rows = [asked({"a": 1.0, "b": float(i % 4 > 0)}) for i in range(400)]
    earned = np.array([float(i % 4 > 0) for i in range(400)])
    many, few = (
        gain(alone(log_of(rows), "a"), earned=earned, people=np.arange(400) % number)
        for number in (400, 9)
    )

    assert many.value == few.value == pytest.approx(0.25)
    assert many.low > 0.15
    assert few.low < 0.0
