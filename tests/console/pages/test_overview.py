"""The tab Overview: what it says of an application, to whom, and what waits for somebody."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.words.standing import standing
from registry.models import Application, VersionCheck
from selection.models import SelectionSnapshot
from serving.alerts.models import Alert
from serving.traffic.models import TrafficRow
from serving.traffic.objective import Attainment
from serving.traffic.outcome_counts import OutcomeCounts
from tests.console.people import staff

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("server_redis")]
PAGE = "/admin/applications/digits/"


def learned(application: Application, **right: float) -> SelectionSnapshot:
    """Keep a snapshot in which each of these models' version 1 was right so often."""
    now = timezone.now()
    arms: dict[str, dict[str, Any]] = {
        f"{model}:1": {
            "weight": value, "probability": value, "reward": value, "feedback": 10, "queries": 10,
            "reward_interval": {"value": value, "low": value - 0.1, "high": value + 0.1},
        }
        for model, value in right.items()
    }  # fmt: skip
    return SelectionSnapshot.objects.create(
        application=application, since=now - timedelta(seconds=10), at=now, step_s=10,
        policy="exp4", arms=arms, counts={}, earned=[100, 90],
        rewards={arm: [100, 100 * known["reward"]] for arm, known in arms.items()},
    )  # fmt: skip


def asked(application: Application, **counts: Any) -> None:
    at = timezone.now() - timedelta(seconds=20)
    TrafficRow.objects.create(application=application, at=at, step_s=10, **counts)


def test_tiles_and_the_flow_say_how_it_does(owner: Client, digits: Application) -> None:
    learned(digits, svm=0.8)
    asked(digits, good=590, late=10, latency=[20, 600], versions={"svm:1": [[60] * 7, [60], []]})
    page = owner.get(PAGE).content.decode()
    for text in ("<b>10 /s</b>", "98.33 %", "<b>90.0 %</b>", "right, by 100 labels in a day"):
        assert text in page
    assert "80.0 % right (70.0 to 90.0)" in page
    assert "98 % in time" in page
    assert 'class="clp-standing" data-state="stopped"><i></i>Misses its objective' in page
    fragment = owner.get(f"{PAGE}?part=now").content.decode()
    assert 'data-testid="flow"' in fragment
    assert "<html" not in fragment


def test_a_series_has_the_share_right_of_each_version(owner: Client, digits: Application) -> None:
    learned(digits, svm=0.8, knn=0.5)
    charts = owner.get(f"{PAGE}series.json").json()["charts"]
    last = {series["label"]: series["values"][-1] for series in charts["right"]["series"]}
    assert last == {"svm:1": 80.0, "knn:1": 50.0}
    assert {series["label"] for series in charts["trust"]["series"]} == last.keys()


def test_it_names_what_needs_somebody(owner: Client, digits: Application, v1: Any) -> None:
    now = timezone.now()
    Alert.objects.create(
        application=digits, rule="no_answer", state="firing", sentence="Nobody home.",
        since=now, fired_at=now, updated_at=now,
    )  # fmt: skip
    VersionCheck.objects.update_or_create(
        version=v1, defaults={"state": "failed", "error": "ImportError: toast\nline"}
    )
    page = owner.get(PAGE).content.decode()
    for text in ("No model answers", "Nobody home.", f"{v1} failed its check", "First steps"):
        assert text in page
    blind = staff("view_application").get(PAGE).content.decode()
    assert "Nobody home." not in blind
    assert "lately" not in blind


@pytest.mark.parametrize(
    ("own", "hour", "live", "expected"),
    [
        ((99, 1), (99, 1), [True], ("good", "Within its objective")),
        ((97, 3), (0, 0), [False, True], ("stopped", "Misses its objective")),
        ((999, 1), (98, 2), [True], ("late", "Burns its budget 2 times as fast as it may")),
        ((99, 1), (0, 0), [False, True], ("silent", "Idle")),
        ((0, 0), (0, 0), [False, True], ("new", "No queries yet")),
        ((0, 0), (0, 0), [], ("stopped", "No model routed")),
        ((0, 0), (0, 0), [False], ("stopped", "No model is live")),
    ],
)
def test_it_stands_as_its_objective_says(
    own: tuple[int, int], hour: tuple[int, int], live: list[bool], expected: tuple[str, str]
) -> None:
    assert standing([], own=kept(*own), hour=kept(*hour), live=live) == expected


def kept(good: int, late: int) -> Attainment:
    now = timezone.now()
    counts = OutcomeCounts(good=good, late=late)
    return Attainment(target=0.99, since=now, until=now, counts=counts)
