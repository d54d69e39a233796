"""GET .../selection/history: who may read it, which period it takes, what it answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from registry import services
from registry.models import Application
from registry.services import Actor
from selection.evaluation.monitoring.history_api import HistoryOut
from selection.models import SelectionSnapshot

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)


@pytest.fixture
def digits(db: None) -> Application:
    return services.create_application(
        name="digits", input_type="doubles", slo_ms=50, by=services.SYSTEM
    )


def get(path: str, *, scopes: tuple[str, ...] = ("manage",), **options: Any) -> Any:
    _, key = services.create_api_key(name="a key", scopes=scopes, by=BY, **options)
    headers = {"Authorization": f"Api-Key {key}"}
    return Client().get(f"/api/v1/applications/{path}", headers=headers)


def snapshot(application: Application, *, minutes: int, weight: float) -> None:
    SelectionSnapshot.objects.create(
        application=application,
        since=NOON + timedelta(minutes=minutes - 1),
        at=NOON + timedelta(minutes=minutes),
        step_s=60,
        policy="exp4",
        arms={
            "svm:1": {
                "weight": weight,
                "probability": 1.0,
                "reward": 0.9,
                "reward_interval": {"value": 0.75, "low": 0.7, "high": 0.79},
            }
        },
        counts={"svm:1": [10, 8, 1, 1]},
        earned=[2.0, 1.0],
        recommendation={
            "arm": "svm:1",
            "state": "best",
            "confidence": 0.96,
            "since": None,
            "labels": 400,
        },
        rewards={"svm:1": [2.0, 1.0]},
    )


def test_it_answers_the_points_and_the_totals_of_the_period(digits: Application) -> None:
    for minutes, weight in ((-90, 0.1), (-10, 0.5), (-5, 0.75)):
        snapshot(digits, minutes=minutes, weight=weight)

    answer = get("digits/selection/history?until=2026-01-31T12:00:00Z")

    assert answer.status_code == 200
    body = answer.json()
    assert [point["arms"]["svm:1"]["weight"] for point in body["points"]] == [0.5, 0.75]
    assert (body["feedback"], body["mean_earned"]) == (4, 0.5)
    (arm,) = body["arms"]
    assert (arm["model"], arm["weight"], arm["recent_reward"]) == ("svm", 0.75, 0.9)
    assert (arm["asked"], arm["answered"], arm["late"], arm["failed"]) == (20, 16, 2, 2)
    assert arm["refused"] == 0
    assert (arm["share"], arm["mean_reward"]) == (1.0, 0.5)
    assert arm["reward"] == {"value": 0.75, "low": 0.7, "high": 0.79}
    assert body["recommendation"]["state"] == "best"
    assert body.keys() == HistoryOut().fields.keys()
    assert HistoryOut(data=body).is_valid()


@pytest.mark.parametrize(
    "query",
    [
        *("since=yesterday", "since=7w", "since=99999999999999999999", "since=200&until=100"),
        *("until=2026-01-31T12:00:00", "from=100"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused(digits: Application, query: str) -> None:
    answer = get(f"digits/selection/history?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
