"""The gain of a policy over the keys held out of it: by person, kept with the snapshots."""

from typing import Any

import pytest

from selection.evaluation.holdout import Holdout, holdout_of
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.monitoring.history import history
from selection.evaluation.monitoring.history_api import HistoryOut
from selection.models import ExperimentHealth
from tests.selection.evaluation.observed import NOON, Observed


def seen(*, people: int, each: int, policy: float, held_out: float) -> Holdout:
    """Return what is known after `each` answers to every one of so many people on both sides."""
    holdout = Holdout({})
    for person in range(people):
        for held, mean in ((False, policy), (True, held_out)):
            for number in range(each):
                # Of ten people with an answer each, as of one with ten, so many are right.
                right = (person + number) % 10 < 10.0 * mean
                query = LoggedQuery(asked=(), key=f"person-{person}-{held}")
                holdout.see(query, held_out=held, reward=float(right))
    return holdout


def test_a_gain_is_found_with_its_interval() -> None:
    gain = seen(people=200, each=10, policy=0.9, held_out=0.7).gain()
    assert gain is not None
    assert 0.0 < gain.low < gain.value < gain.high
    assert gain.value == pytest.approx(0.2, abs=0.01)


def test_equal_sides_show_none() -> None:
    gain = seen(people=200, each=10, policy=0.8, held_out=0.8).gain()
    assert gain is not None
    assert gain.low < 0.0 < gain.high


def test_many_answers_to_few_people_tell_nothing() -> None:
    assert seen(people=10, each=500, policy=0.9, held_out=0.5).gain() is None


def test_answers_to_nobody_are_no_part_of_it() -> None:
    holdout = Holdout({})
    holdout.see(LoggedQuery(asked=()), held_out=False, reward=1.0)
    holdout.see(LoggedQuery(asked=(), key="a", given=False), held_out=False, reward=1.0)
    assert holdout.described()["policy"] == {"feedback": 0, "mean": None, "people": 0}


class Watch(Observed):
    def tell(self, loss: float, *, key: str = "", **changes: Any) -> None:
        self.label({"svm:1": loss}, key=key, **changes)

    def held_out(self, loss: float, *, key: str) -> None:
        self.tell(loss, key=key, forced=True, held_out=True)

    def shown(self) -> Any:
        return history(self.application, since=NOON, until=self.now)["holdout"]


@pytest.fixture
def watch(db: None) -> Watch:
    watch = Watch(policy="thompson", holdout_share=0.1)
    watch.application.holdout_share = 0.1
    watch.application.save()
    watch.take()
    return watch


def test_snapshots_add_up_what_both_sides_earned(watch: Watch) -> None:
    watch.tell(0.0, key="ann")
    watch.held_out(1.0, key="bob")
    watch.take()
    watch.tell(1.0, key="", context="cy")
    watch.tell(0.0, key="ann", forced=True)
    watch.tell(0.0)
    watch.take()

    assert watch.shown() == {
        "gain": None,
        "policy": {"feedback": 2, "mean": 0.5, "people": 2},
        "held_out": {"feedback": 1, "mean": 0.0, "people": 1},
    }
    whole = history(watch.application, since=NOON, until=watch.now)
    assert HistoryOut(data=whole).is_valid()


def test_labels_held_out_are_not_among_what_the_policy_earned(watch: Watch) -> None:
    watch.held_out(0.0, key="bob")
    row = watch.take()
    assert row is not None
    assert (row.earned, row.rewards) == (pytest.approx([0, 0]), {})


def test_it_begins_anew_with_the_experiment(watch: Watch) -> None:
    watch.tell(0.0, key="ann")
    watch.take()
    watch.weights = {"svm:1": 0.5, "forest:2": 0.5}
    watch.take()
    assert watch.shown()["policy"]["feedback"] == 0


def test_it_begins_anew_with_another_share(watch: Watch) -> None:
    watch.tell(0.0, key="ann")
    watch.take()
    watch.spec["holdout_share"] = 0.5
    watch.tell(1.0, key="bob")
    watch.take()
    assert watch.shown()["policy"] == {"feedback": 1, "mean": 0.0, "people": 1}


def test_labels_held_out_are_labels_of_queries(watch: Watch) -> None:
    watch.tell(1.0, key="ann", times=3)
    watch.held_out(1.0, key="bob")
    watch.take()
    checks = ExperimentHealth.objects.get(application=watch.application).sums
    assert checks["one_sided"]["labels"] == 4


def test_without_a_share_nothing_is_counted_or_shown(db: None) -> None:
    watch = Watch(policy="thompson")
    watch.take()
    watch.tell(0.0, key="ann")
    watch.take()
    assert watch.shown() is None
    assert holdout_of(watch.application) is None
