"""Confidence that labels correct, and the threshold of a promise."""

import math
import random

import pytest

from selection.inference import Rewards, evidence_above, mean
from selection.policies.arithmetic.answer_sums import (
    ANSWERS,
    KNOTS,
    AnswerRecord,
    AnswerSeen,
    Promise,
    answer_sums,
)

PROMISE = Promise(0.05, 0.95)
NOTHING = (0.0,) * ANSWERS.width


def record(
    answers: list[tuple[float, float]], *, promise: Promise | None = PROMISE
) -> AnswerRecord:
    """Return the record of labels of answers with these margins and rewards."""
    total = NOTHING
    for margin, reward in answers:
        seen = AnswerSeen((margin, margin), (reward, reward), ())
        (added,) = answer_sums(seen, observed=("a:1",), at_ms=0).values()
        total = tuple(x + y for x, y in zip(total, added, strict=True))
    return AnswerRecord.of([total], promise=promise)


def test_before_labels_confidence_is_what_the_log_odds_say() -> None:
    known = record([])
    for margin in (-1.0, 0.0, 3.0):
        assert known.confidence(margin) == pytest.approx(1 / (1 + math.exp(-margin)))
    assert known.confidence(-100.0) == known.right[0]
    assert known.confidence(100.0) == known.right[-1]
    assert known.classes == 2.0


def test_labels_correct_it() -> None:
    coins = record([(8.0, float(number % 2)) for number in range(1000)])
    assert coins.confidence(8.0) == pytest.approx(0.5, abs=0.01)


def test_it_never_falls_with_the_margin() -> None:
    chance = random.Random(3)
    for _ in range(20):
        seen = [(chance.uniform(-3, 20), float(chance.random() < 0.8)) for _ in range(200)]
        right = record(seen).right
        assert list(right) == sorted(right)
        assert 0.0 < right[0] <= right[-1] < 1.0


def test_without_evidence_a_promise_lets_nothing_pass() -> None:
    known = record([(8.0, 1.0)] * 100)
    assert (known.lowest, known.lowest_margin, known.threshold) == (len(KNOTS), math.inf, 1.0)


def test_without_a_promise_everything_passes() -> None:
    assert record([(8.0, 0.0)] * 100, promise=None).lowest_margin == -math.inf


def test_answers_of_a_confidence_that_is_proved_pass_and_others_don_t() -> None:
    sure = [(8.0, 1.0)] * 400
    unsure = [(0.0, float(number % 2)) for number in range(400)]
    known = record(sure + unsure)
    assert 0.0 < known.lowest_margin <= 8.0
    assert known.confidence(0.0) < known.threshold <= known.confidence(8.0)


def test_a_promise_of_less_certainty_is_proved_sooner() -> None:
    seen = [(8.0, 1.0)] * 160
    assert record(seen, promise=Promise(0.05, 0.5)).lowest < len(KNOTS)
    assert record(seen, promise=Promise(0.05, 0.999)).lowest == len(KNOTS)


def test_evidence_is_that_of_the_interval() -> None:
    for number, total in ((50.0, 49.0), (1000.0, 930.0)):
        seen = Rewards(number, total)
        interval = mean(seen, alpha=0.1)
        assert interval is not None
        assert evidence_above(seen, interval.low) == pytest.approx(math.log(20.0), abs=0.01)


@pytest.mark.parametrize("wrong", [0.05, 0.07])
def test_a_promise_that_does_not_hold_is_hardly_ever_believed_at_any_time(wrong: float) -> None:
    chance = random.Random(7)
    broken = 0
    for _ in range(100):
        number = total = 0.0
        for _ in range(1000):
            number, total = number + 1.0, total + (chance.random() >= wrong)
            if evidence_above(Rewards(number, total), 0.95) >= math.log(20.0):
                broken += 1
                break
    assert broken <= 5
