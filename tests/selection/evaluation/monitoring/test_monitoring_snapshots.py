"""Snapshots are taken where something changed, hold what happened, and merge without a loss."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from registry.models import Application
from selection.evaluation.monitoring.history import history
from selection.evaluation.monitoring.snapshots import take_snapshots, thin_snapshots
from selection.models import SelectionSnapshot
from tests.selection.evaluation.observed import NOON, Observed

pytestmark = pytest.mark.django_db


class Watch(Observed):
    def tell(self, *, svm: float, forest: float, **changes: Any) -> None:
        self.label({"svm:1": svm, "forest:1": forest}, **changes)

    def whole(self) -> dict[str, Any]:
        return history(self.application, since=NOON, until=self.now)


@pytest.fixture
def watch() -> Watch:
    return Watch(policy="exp4")


def test_the_first_is_always_taken_and_then_only_where_something_changed(watch: Watch) -> None:
    assert watch.take() is not None
    assert watch.take() is None

    watch.weights = {"svm:1": 0.25, "forest:1": 0.75}
    second = watch.take()

    assert second is not None
    assert second.since == NOON + timedelta(seconds=10)
    assert second.arms["forest:1"]["weight"] == 0.75
    assert watch.take() is None


def test_of_many_applications_those_that_do_nothing_are_passed_over_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    watches = [Watch(f"idle-{number}") for number in range(5)]

    def take() -> list[int]:
        observed = [watch.observe() for watch in watches]
        return [row.application_id for row in take_snapshots(observed, now=watches[0].now)]

    assert take() == [watch.application.pk for watch in watches]
    with django_assert_num_queries(1):
        assert take() == []
    watches[1].tell(svm=0.0, forest=1.0)
    watches[3].counted["readings"] = {"web": {"svm:1": [3, 2, 1, 0]}}
    assert take() == [watches[1].application.pk, watches[3].application.pk]
    with django_assert_num_queries(1):
        assert take() == []


def test_each_piece_of_feedback_is_in_exactly_one(watch: Watch) -> None:
    watch.tell(svm=0.0, forest=1.0)
    watch.take()
    watch.tell(svm=0.0, forest=1.0)
    watch.tell(svm=1.0, forest=1.0)
    watch.take()
    watch.take()

    rewards = [row.rewards["svm:1"] for row in SelectionSnapshot.objects.all()]
    assert rewards == [[1.0, 1.0], [2.0, 1.0]]


def test_feedback_from_before_the_first_one_is_in_none(watch: Watch) -> None:
    watch.tell(svm=0.0, forest=1.0)
    watch.now += timedelta(hours=1)

    first = watch.take()
    watch.tell(svm=0.0, forest=1.0)
    second = watch.take()

    assert first is not None
    assert second is not None
    assert (first.earned[0], second.earned[0]) == (0.0, 1.0)


def test_a_version_that_its_caller_chose_says_nothing_of_the_policy(watch: Watch) -> None:
    watch.take()
    watch.tell(svm=0.0, forest=1.0, forced=True)
    row = watch.take()

    assert row is not None
    assert (row.earned, row.rewards) == (pytest.approx([0, 0]), {})


def test_the_trust_from_before_the_feedback_decides_what_was_earned(watch: Watch) -> None:
    watch.weights = {"svm:1": 0.9, "forest:1": 0.1}
    watch.take()
    watch.weights = {"svm:1": 0.1, "forest:1": 0.9}  # what the feedback itself has shown
    watch.tell(svm=1.0, forest=0.0)
    row = watch.take()

    assert row is not None
    assert list(row.earned) == [1.0, 0.0]


def test_a_snapshot_of_a_deleted_application_is_not_kept(watch: Watch) -> None:
    Application.objects.all().delete()

    assert watch.take() is None


def a_day(watch: Watch) -> None:
    """Six snapshots within a minute of a day ago, six of two hours ago, six just now."""
    for hours in (26, 2, 0):
        watch.now = NOON - timedelta(hours=hours)
        for _ in range(6):
            watch.tell(svm=0.0, forest=1.0)
            asked = watch.counted["readings"].get("web", {}).get("svm:1", [0, 0, 0, 0])[0] + 2
            watch.counted["readings"] = {"web": {"svm:1": [asked, asked, 0, 0]}}
            watch.take()


def test_the_past_becomes_sparse_and_nothing_of_it_is_lost(watch: Watch) -> None:
    a_day(watch)
    since, until = NOON - timedelta(days=2), NOON + timedelta(hours=1)
    before = history(watch.application, since=since, until=until)

    gone = thin_snapshots(watch.application.pk, now=NOON + timedelta(minutes=5))

    steps = list(SelectionSnapshot.objects.values_list("step_s", flat=True))
    assert (gone, steps) == (10, [600, 60, 10, 10, 10, 10, 10, 10])
    after = history(watch.application, since=since, until=until)
    assert after["arms"] == before["arms"]
    assert after["mean_earned"] == before["mean_earned"]
    assert after["arms"][0]["asked"] == 36
    merged = SelectionSnapshot.objects.get(step_s=600)
    assert (merged.at - merged.since).total_seconds() == 60
    assert thin_snapshots(watch.application.pk, now=NOON + timedelta(minutes=5)) == 0


def test_after_thirty_days_only_the_newest_is_left(watch: Watch) -> None:
    a_day(watch)

    thin_snapshots(watch.application.pk, now=NOON + timedelta(days=40))

    assert SelectionSnapshot.objects.get().at == NOON + timedelta(minutes=1)
    assert watch.take() is None


def test_a_history_has_a_line_of_points_and_what_it_comes_to(watch: Watch) -> None:
    watch.take()
    for _ in range(40):
        watch.tell(svm=0.0, forest=1.0)
    watch.weights = {"svm:1": 0.2, "forest:1": 0.8}
    watch.counted["readings"] = {"web": {"svm:1": [40, 36, 4, 0], "forest:1": [40, 30, 0, 10]}}
    watch.take()

    whole = watch.whole()

    assert [point["arms"]["svm:1"]["weight"] for point in whole["points"]] == [0.5, 0.2]
    assert (
        whole["points"][1]["arms"]["svm:1"] | {"reward": 1.0, "asked": 40, "late": 4}
        == (whole["points"][1]["arms"]["svm:1"])
    )
    svm, forest = whole["arms"]
    assert (svm["model"], svm["feedback"], svm["share"]) == ("svm", 40, 0.5)
    assert (svm["mean_reward"], forest["mean_reward"]) == (1.0, 0.0)
    assert (forest["answered"], forest["failed"]) == (30, 10)
    # Both trusted alike: the vote's tie went to one of them, always the same.
    assert whole["feedback"] == 40
    assert whole["mean_earned"] in (0.0, 1.0)


def test_an_arm_that_left_is_still_told_of(watch: Watch) -> None:
    watch.counted["readings"] = {"web": {"forest:1": [5, 5, 0, 0]}}
    watch.take()
    del watch.weights["forest:1"]
    watch.take()

    svm, forest = watch.whole()["arms"]

    assert (svm["routed"], forest["routed"]) == (True, False)
    assert (forest["weight"], forest["asked"]) == (None, 5)


def test_a_long_period_is_merged_into_fewer_points(watch: Watch) -> None:
    for number in range(400):
        watch.counted["readings"] = {"web": {"svm:1": [number + 1, number + 1, 0, 0]}}
        watch.take()

    whole = watch.whole()

    assert whole["step_s"] == 30
    assert len(whole["points"]) in (134, 135)
    assert sum(point["arms"]["svm:1"]["asked"] for point in whole["points"]) == 400
