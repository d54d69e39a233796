"""Experiments are watched as snapshots are taken: from each row once, and anew with each change."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from selection.evaluation.health.watching import health_of
from selection.models import ExperimentHealth
from tests.selection.evaluation.observed import Observed

pytestmark = pytest.mark.django_db


class Watched(Observed):
    """An application whose arms answer a hundred queries between two looks."""

    asked = too_late = compared = disagreed = 0

    def look(self, *, hours: float = 0.0) -> None:
        """Look at what came, that many hours later."""
        self.now += timedelta(hours=hours)
        self.asked += 100
        self.counted = {
            "readings": {"web": {arm: [self.asked, self.asked, 0, 0] for arm in self.weights}},
            "health_readings": {
                "web": {
                    "svm:1": [self.asked, self.asked * 2_000, 10, 30_000],
                    "too_late": [self.too_late],
                    "queries": [self.asked * len(self.weights)],
                    "compared": [self.compared, self.disagreed],
                }
            },
        }
        self.take()

    def check(self, name: str) -> dict[str, Any]:
        (found,) = (check for check in self.health()["checks"] if check["check"] == name)
        return found

    def health(self) -> dict[str, Any]:
        return health_of(self.application)


@pytest.fixture
def watched(transactional_db: None) -> Watched:
    watched = Watched(policy="ab_split", feedback_window_s=3600)
    watched.look()
    watched.now += timedelta(seconds=10)
    return watched


def test_a_mismatch_is_told_since_when_with_its_reason(watched: Watched) -> None:
    watched.label({"svm:1": 0.0}, times=100)
    watched.label({"forest:1": 0.0}, times=20)
    watched.look()
    assert watched.check("mismatch")["reason"].endswith("120 labels wait for that")
    watched.look(hours=2)
    began = watched.now.isoformat()
    watched.look()

    mismatch = watched.check("mismatch")

    assert (mismatch["state"], mismatch["since"]) == ("alarm", began)
    assert mismatch["reason"].startswith("svm:1 has 100 of 120 labels")
    assert watched.health()["state"] == "alarm"


def test_what_is_no_matter_of_chance_is_left_out(watched: Watched) -> None:
    sure = [{"arm": "svm:1", "propensity": 1.0, "output": "7", "loss": 0.0}]
    both = [*sure, {"arm": "forest:1", "propensity": 1.0, "output": "7", "loss": 0.0}]
    watched.label({"svm:1": 0.0}, times=50, forced=True)
    watched.label({"svm:1": 0.0}, times=50, kind="default", label="", reward=0.0)
    watched.label({"svm:1": 0.0}, times=50, kind="input", arms=both)
    watched.label({"svm:1": 0.0}, times=50, arms=both)
    watched.label({"svm:1": 0.0}, times=50, arms=sure)
    watched.look()
    watched.look(hours=2)
    assert watched.check("mismatch")["reason"].startswith("0 labels of versions drawn by chance")


def test_contexts_kept_with_one_arm_count_once_and_are_exposed_by_a_second(
    watched: Watched,
) -> None:
    watched.label({"svm:1": 0.0}, times=400, context="ann")
    watched.look()
    watched.look(hours=2)
    assert watched.check("mismatch")["reason"].startswith("1 labels of versions")
    assert watched.check("exposure")["state"] == "good"
    for user in range(5):
        watched.label({"svm:1": 0.0}, context=f"user-{user}")
        watched.label({"forest:1": 0.0}, context=f"user-{user}")
    watched.look()
    assert watched.check("exposure")["state"] == "alarm"


def test_a_key_is_kept_whatever_the_policy_and_context(watched: Watched) -> None:
    watched.spec["policy"] = "static"
    watched.look()
    watched.now += timedelta(seconds=10)
    for user in range(5):
        watched.label({"svm:1": 0.0}, key=f"user-{user}", context="en")
        watched.label({"forest:1": 0.0}, key=f"user-{user}", context="en")
    watched.look()
    watched.look(hours=2)
    assert watched.check("exposure")["state"] == "alarm"
    assert watched.check("mismatch")["reason"].startswith("5 labels of versions")


def test_another_policy_or_arm_begins_anew_and_earlier_queries_have_no_part(
    watched: Watched,
) -> None:
    watched.label({"svm:1": 0.0}, times=100)
    watched.look()
    watched.look(hours=2)
    assert watched.check("mismatch")["state"] == "alarm"
    since = watched.health()["experiment_since"]

    watched.weights = {"svm:2": 1.0, "forest:1": 1.0}
    watched.look()
    watched.label({"svm:1": 0.0}, times=100, issued_at=watched.now - timedelta(seconds=20))
    watched.look()
    watched.look(hours=2)

    assert watched.check("mismatch")["reason"].startswith("0 labels of versions drawn by chance")
    assert watched.health()["experiment_since"] > since


def test_labelled_inputs_which_nobody_waits_for_are_not_quick_labels(watched: Watched) -> None:
    watched.label({"svm:1": 0.0}, times=40)
    watched.label(
        {"svm:1": 0.0}, times=1_000, kind="input", issued_at=watched.now, received_at=watched.now
    )
    watched.too_late = 11
    watched.look()
    delay = watched.check("delay")
    assert (delay["state"], delay["value"]) == ("alarm", pytest.approx(11 / 51))


def test_the_api_and_the_pages_tell_it(watched: Watched) -> None:
    watched.label({"svm:1": 0.0}, times=100)
    watched.look()
    watched.look(hours=2)
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))

    api = client.get("/api/v1/applications/digits/health")
    page = client.get("/admin/applications/digits/experiment/?part=now").content.decode()

    assert api.json()["checks"][0]["state"] == "alarm"
    assert api.json()["checks"][0]["reason"] in page
    assert 'data-testid="unhealthy"' in page
    assert "Latency, ms" in page


def guardrails(watched: Watched) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["metric"], one["arm"]): one for one in watched.health()["guardrails"]}


def test_what_arms_do_beside_their_reward_is_told_with_intervals(watched: Watched) -> None:
    price = {"lateness": 0.25, "cost": 1.5}
    priced = [{"arm": "svm:1", "propensity": 0.5, "output": "7", "loss": 0.0} | price]
    watched.label({"svm:1": 0.0}, times=30, metrics={"clicked": 1.0}, arms=priced)
    watched.label({"svm:1": 0.0}, times=10, metrics={"clicked": 0.0})
    watched.label({"forest:1": 0.0}, times=10, metrics={"clicked": 0.0})
    watched.label({"svm:1": 0.0}, times=10, metrics={"clicked": 0.0}, forced=True)
    watched.look()

    health = guardrails(watched)

    clicked = health["clicked", "svm:1"]
    assert (clicked["number"], clicked["mean"]) == (40, 0.75)
    assert 0.4 < clicked["low"] < 0.75 < clicked["high"] < 1.0
    assert health["clicked", "forest:1"]["mean"] == 0.0
    assert health["taken for lateness", "svm:1"]["mean"] == 0.25
    assert health["taken for cost", "svm:1"]["mean"] == 1.0  # cut
    assert health["answered in time", "forest:1"]["mean"] == 1.0
    assert health["latency, ms", "svm:1"]["mean"] == pytest.approx(5.0)
    assert health["latency, ms", "svm:1"]["low"] is None
    assert [one["metric"] for one in watched.health()["guardrails"]][-1] == "clicked"


def test_labels_of_one_person_say_little_of_a_metric(watched: Watched) -> None:
    watched.label({"svm:1": 0.0}, times=40, metrics={"clicked": 0.0}, key="ann")
    for person in range(40):
        watched.label({"forest:1": 0.0}, metrics={"clicked": 0.0}, key=f"{person}")
    for _ in range(2):  # as it was written down, and read again
        watched.look()

    health = guardrails(watched)
    assert health["clicked", "svm:1"]["high"] > 0.9
    assert health["clicked", "forest:1"]["high"] < 0.3


def states(watched: Watched) -> dict[str, str]:
    return {check["check"]: check["state"] for check in watched.health()["checks"]}


def test_checks_of_what_an_application_does_not_have_are_hidden(watched: Watched) -> None:
    watched.weights = {"svm:1": 1.0}
    watched.look()
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))

    assert {check for check, state in states(watched).items() if state == "not_applicable"} == {
        "mismatch",
        "exposure",
        "exploration",
        "drift",
    }
    page = client.get("/admin/applications/digits/experiment/?part=now").content.decode()
    assert 'data-testid="check-drift" hidden>' in page
    assert 'data-testid="check-silence">' in page
    assert set(re.findall(r'data-testid="check-(\w+)">', page)) == {"silence", "one_sided", "delay"}


def test_arms_that_begin_to_disagree_alarm_without_any_label(watched: Watched) -> None:
    for _ in range(100):
        watched.compared += 10
        watched.disagreed += 1
        watched.look()
    assert states(watched)["drift"] == "good"
    for _ in range(20):
        watched.compared += 10
        watched.disagreed += 9
        watched.look()
    assert states(watched)["drift"] == "alarm"


def test_labels_of_bad_answers_alone_alarm_with_the_setting_to_change(watched: Watched) -> None:
    watched.label({"svm:1": 1.0}, times=60)
    watched.label({"forest:1": 1.0}, times=60)
    for _ in range(4):
        watched.look()
    assert "default_reward to 1" in watched.check("one_sided")["reason"]
    watched.spec["default_reward"] = 1.0
    watched.look()
    assert states(watched)["one_sided"] == states(watched)["mismatch"] == "not_applicable"


def test_what_an_earlier_release_remembered_is_read(watched: Watched) -> None:
    row = ExperimentHealth.objects.get()
    row.sums = {
        "mismatch": {"labels": 3, "counts": {"svm:1": 3}, "inverse": {"svm:1": 6.0}}
        | {"gained": {"svm:1": [0.1] * 6}, "found": "", "found_after": 0},
        "exposure": {"halvings": 0, "arms": {}},
        "silence": {"labels": 50.0, "calls": 900.0, "since_last": 4.0, "last_at": 1e9}
        | {"longest_calls": 9.0, "longest_s": 80.0},
        "exploration": {"calls": {"svm:1": 40.0}},
        "delay": {"counts": [1.0] * 64, "too_late": 2.0},
        "guardrails": {"metrics": {}, "latency": {}},
    }
    row.save()
    watched.label({"svm:1": 0.0}, times=30)
    watched.look()
    assert watched.check("silence")["state"] == "good"
    assert watched.check("delay")["value"] == pytest.approx(2 / 96)
