"""GET .../plan: what it measures, what it assumes, what it refuses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from registry import services
from registry.models import Application
from selection.evaluation.planning.plan_api import PlanOut
from selection.models import Feedback
from tests.selection.evaluation.what_if.conftest import BY, make_application


@pytest.fixture
def digits(db: None) -> Application:
    return make_application(policy="ab_split")


def get(query: str = "", *, scopes: tuple[str, ...] = ("manage",), code: int = 200) -> Any:
    _, key = services.create_api_key(name="a key", scopes=scopes, by=BY)
    headers = {"Authorization": f"Api-Key {key}"}
    answer = Client().get(f"/api/v1/applications/digits/plan{query}", headers=headers)
    assert answer.status_code == code
    return answer.json()


def tell(application: Application, *, people: int, each: int, hours: float = 24.0) -> None:
    """Keep labels of people who are right always or never, two thirds of them always."""
    now, number = datetime.now(UTC), people * each
    Feedback.objects.bulk_create(
        Feedback(
            application=application,
            key=f"person-{place % people}",
            nonce=f"{place:024x}",
            kind="receipt",
            issued_at=now - timedelta(hours=hours) * (1.0 - place / number),
            received_at=now - timedelta(hours=hours) * (1.0 - place / number),
            label="1",
            arms=[
                {
                    "arm": ("svm:1", "forest:1", "bayes:1")[place % people % 3],
                    "propensity": 1 / 3,
                    "output": "1",
                    "loss": float(place % people // 3 % 3 == 0),
                }
            ],
            position=place + 1,
        )
        for place in range(number)
    )


def test_without_traffic_it_says_what_to_assume(digits: Application) -> None:
    body = get("?gain=0.02")
    assert (body["state"], body["labels"], body["days"]) == ("no_traffic", None, None)
    assert body["explanation"].endswith("assume labels_per_day and mean")
    assert get("?mean=0.8")["explanation"].endswith("assume labels_per_day")
    assert body.keys() == PlanOut().fields.keys()


def test_it_plans_with_what_is_assumed(digits: Application) -> None:
    body = get("?gain=0.05&labels_per_day=5000&mean=0.8")
    assert body["state"] == "planned"
    assert body["labels"] == pytest.approx(body["days"] * 5000, rel=0.01)
    assert body["split"] == pytest.approx([1 / 3] * 3)
    assert [each["days"] for each in body["smallest"]] == [7.0, 14.0, 28.0]
    gains = [each["gain"] for each in body["smallest"]]
    assert gains == sorted(gains, reverse=True)
    assert f"a gain of 5 points shows in about {body['days']:.2g} days" in body["explanation"]
    assert f", or {body['labels']:,} labels, with a chance of 80 %" in body["explanation"]
    assert PlanOut(data=body).is_valid()


def test_it_measures_labels_and_people(digits: Application) -> None:
    tell(digits, people=90, each=8)
    traffic = get("?gain=0.1")["traffic"]
    assert traffic["labels_per_day"] == pytest.approx(720.0, rel=0.01)
    assert traffic["mean"] == pytest.approx(2 / 3, abs=0.01)
    assert traffic["likeness"] == pytest.approx(1.0, abs=0.02)
    # They come back, so that in 28 days each will have given 28 times as many.
    assert traffic["labels_per_person"] == pytest.approx(28 * 8, rel=0.2)


def test_people_who_stay_a_while_give_no_more_later(digits: Application) -> None:
    tell(digits, people=10, each=8, hours=12.0)
    Feedback.objects.update(key="")
    assert get("?gain=0.1")["traffic"]["labels_per_person"] == pytest.approx(1.0)


def test_few_people_make_a_gain_too_small(digits: Application) -> None:
    query = "?gain=0.02&labels_per_day=5000&mean=0.8&people=3000"
    assert "likeness" in str(get(query, code=400))
    assert get(f"{query}&likeness=0")["state"] == "planned"
    body = get(f"{query}&likeness=0.3")
    assert (body["state"], body["days"]) == ("too_small", None)
    assert body["explanation"] == (
        "a gain of 2 points shows within a year with a chance below 80 %"
    )


def test_it_says_if_labels_or_people_are_too_few(digits: Application) -> None:
    assert "labels are too few" in get("?days=7&labels_per_day=1&mean=0.8")["explanation"]
    few = get("?days=7&labels_per_day=1000&mean=0.8&people=2&likeness=1")
    assert few["smallest"] == [{"days": 7.0, "gain": None}]
    assert few["explanation"] == (
        "no gain shows within 7 days with a chance of 80 %, as people are too few"
    )


@pytest.mark.parametrize(
    ("query", "period"),
    [
        ("days=1&labels_per_day=1e6", "within 1 day with"),
        ("days=13.5&labels_per_day=1e6", "within 13.5 days with"),
        ("days=0.5&labels_per_day=1e6", "within 12 hours with"),
        ("gain=0.1&labels_per_day=1e9", "in about 1 minute, or"),
    ],
)
def test_periods_have_units_for_people(digits: Application, query: str, period: str) -> None:
    assert period in get(f"?mean=0.8&{query}")["explanation"]


def test_a_gain_may_lead_up_to_a_perfect_arm(digits: Application) -> None:
    assert get("?gain=0.1&labels_per_day=5000&mean=0.9")["state"] == "planned"
    refused = str(get("?gain=0.2&labels_per_day=5000&mean=0.9", code=400))
    assert "Expected at most 0.1, as the mean reward is 0.9, got 0.2." in refused


def test_a_share_is_that_of_a_second_arm(digits: Application) -> None:
    body = get("?days=10&share=0.1&labels_per_day=5000&mean=0.8")
    assert body["split"] == pytest.approx([0.9, 0.1])
    assert [each["days"] for each in body["smallest"]] == [10.0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?gain=0.3&labels_per_day=100&mean=0.8", "gain"),
        ("?gain=0", "gain"),
        ("?gain=nan", "gain"),
        ("?gain=much", "gain"),
        ("?profit=1", "profit"),
    ],
)
def test_it_refuses_what_cannot_be_planned(digits: Application, query: str, field: str) -> None:
    assert field in str(get(query, code=400))


def test_a_key_that_only_predicts_is_refused(digits: Application) -> None:
    get("?gain=0.1", scopes=("predict",), code=403)
