"""Kept decisions, page by page, and as other tools read them."""

from __future__ import annotations

from typing import Any

from django.test import Client

from clipper_client.cli.decisions import vw_lines
from registry import services
from registry.models import Application
from tests.selection.offpolicy.logs import asked
from tests.selection.what_if.conftest import BY, keep


def page(query: str = "") -> Any:
    _, key = services.create_api_key(name="a key", scopes=("manage",), by=BY)
    return Client().get(
        f"/api/v1/applications/digits/decisions{query}",
        headers={"Authorization": f"Api-Key {key}"},
    )


def test_decisions_come_page_by_page_oldest_first(digits: Application) -> None:
    rewards = [float(i % 2) for i in range(5)]
    keep(digits, [asked({"svm:1": r}, propensity=0.25, routed=["svm:1", "b:1"]) for r in rewards])
    first = page("?limit=3").json()
    assert [one["reward"] for one in first["decisions"]] == [0.0, 1.0, 0.0]
    assert (
        first["decisions"][0].items()
        >= {"arm": "svm:1", "arms": ["svm:1", "b:1"], "propensity": 0.25, "features": []}.items()
    )
    last = page(f"?after={first['next']}").json()
    assert [one["reward"] for one in last["decisions"]] == [1.0, 0.0]
    assert last["next"] is None
    assert page("?limit=1001").status_code == 400
    assert page(f"?after={2**62}").json()["decisions"] == []


def test_a_choice_that_it_does_not_make_is_refused(digits: Application) -> None:
    refused = page("?context=ann&limit=3")
    assert refused.status_code == 400
    assert refused.json()["error"] == "Expected only after and limit, got context."


def test_what_is_no_decision_is_left_out(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 1.0, "b:1": 0.0}), asked({"svm:1": 1.0}, propensity=0.5)])
    keep(digits, [asked({"svm:1": 1.0}, given=False)])
    keep(digits, [asked({"svm:1": 1.0})], forced=True)
    told = page().json()
    assert (len(told["decisions"]), told["left_out"]) == (1, 1)


def test_vowpal_wabbit_gets_cost_and_probability_at_the_arm_asked() -> None:
    decision = {
        "context": "a b",
        "features": [0.5, -1.0],
        "arms": ["svm:1", "b:1"],
        "arm": "b:1",
        "propensity": 0.25,
        "reward": 0.75,
    }
    assert vw_lines(decision) == [
        "shared |context c=a%20b |features f0:0.5 f1:-1.0",
        "|arm svm%3A1",
        "0:0.25:0.25 |arm b%3A1",
    ]
