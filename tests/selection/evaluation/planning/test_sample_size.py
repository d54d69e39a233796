"""The planner: what it promises is seen, and both of its questions have one answer."""

import pytest

from selection.evaluation.planning.sample_size import LabelTraffic, days_until_seen, smallest_gain

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
