"""The form at /feedback/{app}/. The API's answers are canned here: the stack's tests ask it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Route, expect

from registry import services
from registry.models import Application

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


class Api:
    """Answers the form as the REST API would, and keeps what was asked."""

    def __init__(self, page: Page) -> None:
        self.asked: list[tuple[str, Any, str | None]] = []
        self.trust = {"svm": 0.5, "forest": 0.5}
        page.route("**/api/v1/applications/**", self._answer)

    def _answer(self, route: Route) -> None:
        verb = route.request.url.rstrip("/").rsplit("/", 1)[1].partition("?")[0]
        body = json.loads(route.request.post_data or "null")
        self.asked.append((verb, body, route.request.headers.get("authorization")))
        route.fulfill(json=getattr(self, f"_{verb}")())

    def _predict(self) -> dict[str, Any]:
        return {
            "query_id": "a-receipt",
            "output": 8,
            "default": False,
            "confidence": 0.75,
            "models": {"svm:1": 8, "forest:1": 3},
            "latency_ms": 2.31,
        }

    def _feedback(self) -> dict[str, Any]:
        self.trust = {"svm": 0.4, "forest": 0.6}
        return {"accepted": 1, "duplicates": 0, "rejected": []}

    def _selection(self) -> dict[str, Any]:
        arms = [{"model": m, "version": "1", "weight": w} for m, w in self.trust.items()]
        return {"policy": "exp4", "context": "", "arms": arms}


@pytest.fixture
def page(open_page: OpenPage, owner: User) -> Page:
    return open_page()


def make_application(**fields: Any) -> Application:
    return services.create_application(
        **{"name": "digits", "input_type": "doubles", "slo_ms": 50, **fields}, by=services.SYSTEM
    )


def test_an_example_is_drawn_asked_and_corrected(page: Page) -> None:
    make_application(public=True)
    api = Api(page)
    page.goto("/feedback/digits/")

    page.get_by_test_id("sample").nth(3).click()
    expect(page.get_by_test_id("canvas")).to_be_visible()
    page.get_by_test_id("predict").click()
    expect(page.get_by_test_id("output")).to_have_text("8")
    expect(page.get_by_test_id("confidence")).to_have_text("75 %")
    expect(page.get_by_test_id("models")).to_contain_text("forest:1")
    page.get_by_test_id("label").fill("3")
    page.get_by_test_id("send").click()

    expect(page.get_by_test_id("accepted")).to_contain_text("Accepted")
    forest = page.locator("[data-testid=arm-weight][data-arm='forest:1']")
    expect(forest).to_contain_text("60.0 %")
    expect(forest).to_contain_text("+10.0")
    asked = {verb: body for verb, body, _ in api.asked}
    assert len(asked["predict"]["input"]) == 64
    assert asked["feedback"] == {"query_id": "a-receipt", "label": 3}


def test_a_right_answer_takes_one_press(page: Page) -> None:
    make_application(public=True)
    api = Api(page)
    page.goto("/feedback/digits/")

    page.get_by_test_id("input").fill("1, 2, 3")
    page.get_by_test_id("predict").click()
    page.get_by_test_id("right").click()

    expect(page.get_by_test_id("accepted")).to_be_visible()
    assert api.asked[0][:2] == ("predict", {"input": [1, 2, 3]})
    assert ("feedback", {"query_id": "a-receipt", "label": 8}) in [one[:2] for one in api.asked]


def test_a_private_application_is_asked_with_the_key_that_was_entered(page: Page) -> None:
    make_application()
    api = Api(page)
    page.goto("/feedback/digits/")

    page.get_by_test_id("input").fill("[1]")
    page.get_by_test_id("predict").click()
    expect(page.get_by_test_id("notice")).to_have_text("Enter an API key first.")
    page.get_by_test_id("key").fill("clp_secret")
    page.get_by_test_id("predict").click()
    expect(page.get_by_test_id("output")).to_have_text("8")

    assert {key for _, _, key in api.asked} == {"Api-Key clp_secret"}
    page.reload()
    expect(page.get_by_test_id("key")).to_have_value("")


def test_painting_changes_the_numbers(page: Page) -> None:
    make_application(public=True)
    page.goto("/feedback/digits/")

    page.get_by_test_id("input").fill(json.dumps([0] * 64))
    page.get_by_test_id("canvas").click(position={"x": 5, "y": 5})

    expect(page.get_by_test_id("input")).to_have_value(re.compile(r"^\[16, 0, 0"))


def test_an_unknown_application_gets_a_page_of_the_same_look(open_page: Any, owner: User) -> None:
    page = open_page()
    answer = page.goto("/feedback/nope/")

    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading")).to_contain_text("no application named “nope”")
    # Chromium itself notes the 404 of the page in the console.
    assert [text for text in open_page.complaints if "404" not in text] == []
    open_page.complaints.clear()
