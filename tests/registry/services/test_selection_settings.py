"""How feedback judges and what contexts keep: set over REST and in the console."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from registry.models import Application
from selection.kinds import DEFAULT
from selection.models import Feedback
from tests.registry.conftest import Api

pytestmark = pytest.mark.django_db

PATH = "applications/digits"


@pytest.mark.parametrize(
    ("change", "field", "refusal"),
    [
        ({"combine": "magic"}, "combine", "Expected one of vote, scores, mean, median, got"),
        ({"loss": "magic"}, "loss", "Expected one of auto, "),
        ({"loss": "expression"}, "loss_expression", "Expected a formula such as"),
        ({"loss_expression": "label - price"}, "loss_expression", "got 'price'"),
        ({"loss_expression": "output" + "+1" * 300}, "loss_expression", "500 characters"),
        ({"loss_scale": 0}, "loss_scale", "Expected 1e-09 to"),
        ({"loss_scale": None}, "loss_scale", "may not be null"),
        ({"missing_loss": 1.5}, "missing_loss", "Expected 0 to 1, got 1.5."),
        ({"default_reward": -0.1}, "default_reward", "Expected 0 to 1, got -0.1."),
        ({"default_reward": "0.5"}, "default_reward", "Expected a number, got '0.5'"),
        ({"lateness_price": -1}, "lateness_price", "Expected 0 to 1000000, got -1.0."),
        ({"cost_price": 1e7}, "cost_price", "Expected 0 to 1000000, got 10000000.0."),
        ({"context_ttl_s": 59}, "context_ttl_s", "Expected 60 to 315360000, got 59."),
        ({"max_contexts": 0}, "max_contexts", "Expected 1 to 10000000, got 0."),
        ({"max_contexts": 1.5}, "max_contexts", "Expected a whole number"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    manager: Api, digits: Application, change: dict[str, Any], field: str, refusal: str
) -> None:
    answer = manager("patch", PATH, change)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert refusal in answer.json()["error"]
    assert list(answer.json()["details"]["fields"]) == [field]


# --- The console ------------------------------------------------------------------------------


def form(digits: Application, **changes: Any) -> dict[str, Any]:
    return {
        "policy": "exp4",
        "policy_params": "{}",
        "combine": "scores",
        "confidence_threshold": "0",
        "feedback_window_s": "3600",
        "keep_outputs_s": "3600",
        "loss": "expression",
        "loss_expression": "label != output",
        "loss_scale": "1",
        "missing_loss": "",
        "default_reward": "0.25",
        "lateness_price": "0.5",
        "cost_price": "0.01",
        "context_ttl_s": "7200",
        "max_contexts": "50",
        "priority": "normal",
        "slo-TOTAL_FORMS": "1",
        "slo-INITIAL_FORMS": "1",
        "slo-0-id": digits.slo.pk,
        "slo-0-application": digits.pk,
        "slo-0-latency_ms": "50",
        "slo-0-target": "0.99",
        "slo-0-window": "28d",
        "routes-TOTAL_FORMS": "0",
        "routes-INITIAL_FORMS": "0",
    } | changes


def test_a_formula_that_is_none_is_refused_beside_its_field(
    admin_client: Client, digits: Application
) -> None:
    url = f"/admin/registry/application/{digits.pk}/change/"
    refused = admin_client.post(url, form(digits, loss_expression="label - price"))
    assert "Expected no names but label and output" in refused.content.decode()
    assert Application.objects.get().loss == "auto"


def test_the_console_tells_default_rewards_from_feedback(
    admin_client: Client, digits: Application
) -> None:
    Feedback.objects.create(
        application=digits,
        nonce="0",
        kind=DEFAULT,
        issued_at="2026-01-01T00:00:00Z",
        received_at="2026-01-02T00:00:00Z",
        reward=0.5,
        arms=[{"arm": "svm:1", "propensity": 1.0, "output": "7", "loss": 0.5}],
    )
    text = admin_client.get("/admin/selection/feedback/").content.decode()
    assert "nobody said anything" in text
