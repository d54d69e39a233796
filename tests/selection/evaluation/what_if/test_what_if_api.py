"""POST .../what-if: who may ask, what it takes, what it answers."""

import json
from typing import Any

import pytest
from django.test import Client

from registry import services
from registry.models import Application
from selection.evaluation.what_if.what_if_api import WhatIfOut
from tests.selection.evaluation.offpolicy.logs import asked
from tests.selection.evaluation.what_if.conftest import BY, keep


def post(
    body: Any,
    *,
    path: str = "digits/what-if",
    scopes: tuple[str, ...] = ("manage",),
    **options: Any,
) -> Any:
    _, key = services.create_api_key(name="a key", scopes=scopes, by=BY, **options)
    return Client(raise_request_exception=False).post(
        f"/api/v1/applications/{path}",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Api-Key {key}"},
    )


def tell(digits: Application, *, rows: int) -> None:
    keep(
        digits,
        [asked({"svm:1": 1.0, "forest:1": i % 2 * 1.0}, context="anna") for i in range(rows)],
    )


@pytest.fixture
def labelled(digits: Application) -> Application:
    tell(digits, rows=60)
    return digits


def test_it_answers_what_the_usual_targets_would_have_earned(digits: Application) -> None:
    tell(digits, rows=800)
    answer = post({})
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == WhatIfOut().fields.keys()
    assert (body["application"], body["rows"], body["more"]) == ("digits", 800, False)
    names = [one["name"] for one in body["estimates"]]
    assert names[:2] == ["svm:1 alone", "forest:1 alone"]
    assert names[-2:] == ["static: by route weight", "exp3"]
    svm = body["estimates"][0]
    assert svm["target"] == {"arm": "svm:1"}
    assert (svm["method"], svm["estimate"]["value"], svm["verdict"]) == ("direct", 1.0, "enough")
    never = body["estimates"][2]
    assert (never["name"], never["verdict"], never["estimate"]) == ("bayes:1 alone", "none", None)


def test_targets_are_answered_in_the_order_in_which_they_were_named(labelled: Application) -> None:
    targets = [
        {"policy": "uniform"},
        {"arm": "forest:1"},
        {"policy": "exp3", "params": {"eta": 0.1}},
        {"policy": "ab_split"},
    ]
    estimates = post({"targets": targets, "context": "anna"}, path="digits/what-if/").json()
    assert [one["target"] for one in estimates["estimates"]] == [
        {"policy": "uniform", "params": {}},
        {"arm": "forest:1"},
        {"policy": "exp3", "params": {"eta": 0.1}},
        {"policy": "ab_split", "params": {}},
    ]


def test_the_applications_own_parameters_are_meant_where_none_are_given(
    labelled: Application,
) -> None:
    services.update_application(
        application=labelled, changes={"policy_params": {"eta": 0.7}}, by=services.SYSTEM
    )
    (own,) = post({"targets": [{"policy": "exp3"}]}).json()["estimates"]
    assert own["target"] == {"policy": "exp3", "params": {"eta": 0.7}}
    assert own["current"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"targets": [{}]}, "malformed"),
        ({"targets": [{"arm": "svm:9"}]}, "malformed"),
        ({"targets": [{"arm": "svm:1", "params": {}}]}, "malformed"),
        ({"targets": [{"policy": "best"}]}, "invalid_policy_params"),
        ({"targets": [{"policy": "exp3", "params": {"eta": 99}}]}, "invalid_policy_params"),
        ({"targets": [{"arm": "svm:1"}] * 21}, "malformed"),
        ({"rows": 50_001}, "malformed"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2026-01-30T12:00:00Z"}, "malformed"),
        ({"context": "x" * 257}, "malformed"),
        ({"horizon": 5}, "unknown_field"),
    ],
)
def test_what_it_does_not_take_is_refused(digits: Application, body: Any, code: str) -> None:
    answer = post(body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
