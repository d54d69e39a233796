"""What an application earned when the default output was given instead of the arms' answers."""

from typing import Any

import pytest

from registry.models import Application
from selection.evaluation.monitoring.history import history
from selection.evaluation.what_if.evaluation import what_if
from selection.evaluation.what_if.feedback_span import Span
from selection.evaluation.what_if.targets import WhatIfTarget
from selection.models import ExperimentHealth
from tests.selection.evaluation.observed import NOON, Observed

pytestmark = pytest.mark.django_db
RIGHT, BOTH_WRONG = {"svm:1": 0.0}, {"svm:1": 1.0, "forest:1": 1.0}


class Watch(Observed):
    """An application whose default output is wrong for every label but "-1"."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(default_output=b"-1", holdout_share=0.1, **spec)
        rows = Application.objects.filter(pk=self.application.pk)
        rows.update(default_output=-1, holdout_share=0.1)
        self.application.refresh_from_db()
        self.take()

    def earned(self) -> Any:
        self.take()
        return history(self.application, since=NOON, until=self.now)["mean_earned"]

    def what_if(self) -> Any:
        return what_if(
            self.application, span=Span(), targets=[WhatIfTarget(arm="svm:1")], usual=False
        )


def test_a_wrong_default_given_for_right_answers_earned_nothing() -> None:
    watch = Watch()
    watch.label(RIGHT, times=60, defaulted=True)
    assert watch.earned() == 0.0
    outlook = watch.what_if()
    assert outlook.earned.value.value == 0.0
    # An arm is judged by what it answers.
    assert outlook.results[0].estimate.best.value == 1.0
    assert outlook.results[0].gain.low < 0.0 < outlook.results[0].gain.high
    assert history(watch.application, since=NOON, until=watch.now)["arms"][0]["mean_reward"] == 1.0


def test_a_right_default_earned_all_whatever_the_arms_answered() -> None:
    watch = Watch()
    watch.label(BOTH_WRONG, defaulted=True, label="-1")
    watch.label({"svm:1": 0.0, "forest:1": 1.0}, defaulted=True, label="-1")
    assert watch.earned() == 1.0
    earned = watch.what_if().earned
    assert (earned.value.value, earned.rows, earned.recombined) == (1.0, 2, 0)


def test_rows_that_do_not_say_so_earned_what_the_arms_answered() -> None:
    watch = Watch()
    watch.label(RIGHT, times=3)
    watch.label(RIGHT, defaulted=True)
    assert watch.earned() == 0.75
    assert watch.what_if().earned.value.value == 0.75


def test_a_reward_is_of_what_people_were_given() -> None:
    watch = Watch()
    watch.label({"svm:1": 0.25}, defaulted=True, label="", reward=0.75)
    assert watch.earned() == 0.75
    assert watch.what_if().earned.value.value == 0.75


def test_what_asking_took_goes_off_the_reward_of_the_default() -> None:
    watch = Watch()
    late = {"arm": "svm:1", "propensity": 1.0, "output": None, "loss": 1.0}
    price = {"lateness": 0.25, "cost": 0.0}
    watch.label(RIGHT, arms=[late | price], defaulted=True, label="-1")
    assert watch.earned() == 0.75


@pytest.mark.parametrize(
    "arms", [[], [{"arm": "svm:1", "propensity": 1.0, "output": None, "loss": None}]]
)
def test_a_default_given_while_no_arm_was_there_counts_too(arms: list[Any]) -> None:
    watch = Watch()
    watch.label(RIGHT, defaulted=True, arms=arms)
    watch.label(RIGHT)
    assert watch.earned() == 0.5
    outlook = watch.what_if()
    assert (outlook.rows, outlook.whole, outlook.earned.value.value) == (1, 1, 0.5)


def test_without_a_default_output_today_it_earned_nothing() -> None:
    watch = Watch()
    watch.spec["default_output"] = None
    watch.label(RIGHT, defaulted=True)
    assert watch.earned() == 0.0


def test_the_gain_over_a_holdout_counts_the_defaults_of_both_sides() -> None:
    watch = Watch(policy="thompson")
    watch.label(RIGHT, key="ann", defaulted=True)
    watch.label(RIGHT, key="ann")
    watch.label(RIGHT, key="bob", forced=True, held_out=True, defaulted=True)
    watch.take()
    shown = history(watch.application, since=NOON, until=watch.now)["holdout"]
    assert (shown["policy"]["mean"], shown["held_out"]["mean"]) == (0.5, 0.0)


def test_wrong_defaults_are_no_sign_that_people_label_bad_answers_alone() -> None:
    watch = Watch()
    watch.label(RIGHT, times=40, defaulted=True)
    watch.label(RIGHT, times=2)
    watch.label(RIGHT, forced=True, held_out=True, defaulted=True)
    watch.take()
    checks = ExperimentHealth.objects.get(application=watch.application).sums
    assert (checks["one_sided"]["labels"], checks["one_sided"]["rewards"]) == (2, 2)
