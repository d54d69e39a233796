"""The planner: what it promises is seen, and both of its questions have one answer."""

import math
import random

import pytest

from selection.evaluation.planning.sample_size import LabelTraffic, days_until_seen, smallest_gain
from selection.policies.best_arm_proof import judge

EVEN = (1.0, 1.0)
DAILY = LabelTraffic(labels_per_day=1000.0, mean=0.5)


def days(gain: float, *, split: tuple[float, ...] = EVEN, traffic: LabelTraffic = DAILY) -> float:
    found = days_until_seen(gain, traffic=traffic, split=split)
    assert found is not None
    return found


@pytest.mark.parametrize("split", [EVEN, (1.0, 3.0), (1.0, 1.0, 1.0)])
def test_both_questions_have_one_answer(split: tuple[float, ...]) -> None:
    within = days(0.06, split=split)
    gain = smallest_gain(within, traffic=DAILY, split=split)
    assert gain == pytest.approx(0.06, rel=0.03)


def test_labels_count_and_not_days() -> None:
    slow = LabelTraffic(labels_per_day=10.0, mean=0.5)
    assert days(0.2, traffic=slow) == pytest.approx(100.0 * days(0.2), rel=0.05)


def test_half_the_gain_takes_about_four_times_as_long() -> None:
    assert 3.0 * days(0.08) < days(0.04) < 5.0 * days(0.08)


def test_an_uneven_split_and_more_arms_take_longer() -> None:
    assert days(0.06) < days(0.06, split=(9.0, 1.0))
    assert days(0.06) < days(0.06, split=(1.0, 1.0, 1.0))


def test_labels_of_the_same_people_that_are_alike_tell_less() -> None:
    strangers = LabelTraffic(labels_per_day=1000.0, mean=0.5, others=5.0, growth=0.0)
    alike = LabelTraffic(labels_per_day=1000.0, mean=0.5, likeness=0.2, others=5.0, growth=0.0)
    assert 1.5 < days(0.06, traffic=alike) / days(0.06, traffic=strangers) < 3.0


def test_few_people_never_tell_a_small_gain() -> None:
    few = LabelTraffic(labels_per_day=1000.0, mean=0.5, likeness=0.2, others=20.0)
    assert days_until_seen(0.01, traffic=few, split=EVEN) is None
    assert days(0.01) < 365.0


def test_no_gain_shows_where_labels_are_too_few() -> None:
    rare = LabelTraffic(labels_per_day=1.0, mean=0.95)
    assert smallest_gain(7.0, traffic=rare, split=EVEN) is None


def test_a_past_takes_out_what_people_differ_by() -> None:
    known = {"labels_per_day": 1000.0, "mean": 0.5, "likeness": 0.1, "others": 5.0}
    without = days(0.1, traffic=LabelTraffic(**known))
    longer = days(0.1, traffic=LabelTraffic(**known, past=10.0))
    longest = days(0.1, traffic=LabelTraffic(**known, past=1000.0))
    strangers = days(0.1)
    assert strangers <= longest < longer < without


def test_a_promised_gain_is_seen_as_often_as_promised() -> None:
    """The verdict itself on 300 tests; four standard errors about what is promised."""
    labels, seen = math.ceil(days(0.15) * 1000.0), 0
    for seed in range(300):
        luck = random.Random(seed)
        sums = [[0.0] * 16, [0.0] * 16]
        for number in range(1, labels + 1):
            arm = luck.randrange(2)
            reward = float(luck.random() < 0.5 + 0.15 * arm)
            # By person: the number, rewards, both again as squares and products, labels.
            for place, more in enumerate((1.0, reward, 1.0, reward, reward, 1.0), start=6):
                sums[arm][place] += more
            if number > 60 and number % 5 == 0:
                known = {str(k): (*each, *(0.0,) * 16) for k, each in enumerate(sums)}
                best, confidence = judge(known)
                if confidence >= 0.95:
                    seen += best
                    break
    assert 0.71 < seen / 300 < 0.90
