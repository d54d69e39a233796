"""People label captured inputs by keys, and try an application without one of its API keys."""

import json
import os
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Route, expect

from registry.models import Application
from serving.capture.models import CapturedInput
from tests.browser.conftest import PHONE, SignIn
from tests.console.pages.test_review import captured

pytestmark = pytest.mark.browser

SHOTS = os.environ.get("CLIPPER_SHOTS", "")
DIGIT = json.dumps([min(16, abs(4 - n % 8) * 5) for n in range(64)]).encode()


def api(page: Page, **answers: Any) -> list[Any]:
    """Answer calls of the API in place of a predict process; return what they send."""
    sent: list[Any] = []

    def reply(route: Route) -> None:
        assert route.request.headers["authorization"].startswith("Pass ")
        path, body = route.request.url.rpartition("/")[2], json.loads(route.request.post_data or "")
        sent.append((path, body))
        answer = answers[path]
        route.fulfill(json=answer(body) if callable(answer) else answer)

    page.route("**/api/v1/**", reply)
    return sent


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_keys_label_the_queue(sign_in: SignIn, owner: User, digits: Application) -> None:
    rows = [
        captured(digits, DIGIT, answer="3", context="user-4", disagreed=True),
        captured(digits, b'{"age": 31, "city": "Rome"}', confidence=0.4),
        captured(digits, b'"What a lovely day"', cause="timed_out"),
        captured(digits, DIGIT, answer="9", late=True),
        captured(digits, body=b"broken"),
    ]
    page = sign_in(owner)
    sent = api(page, feedback={"accepted": 1, "duplicates": 0, "rejected": []})
    page.goto("/admin/applications/digits/review/?show=sampled")
    cases = page.get_by_test_id("case")
    expect(cases).to_have_count(5)
    shot(page, "review")
    expect(cases.nth(0)).to_be_focused()
    for key, done in (("s", 0), ("Enter", 1), ("3", 2), ("u", 3)):
        page.keyboard.press(key)
        if done:
            expect(page.locator("#said")).to_contain_text(f"{done} of 5 done")
    labels = dict(CapturedInput.objects.values_list("pk", "label"))
    assert [labels[row.pk] for row in rows] == ["", "", "3", "9", ""]
    assert [body["label"] for _, body in sent] == [9, 3]
    assert sent[0][1]["metrics"] == {"sampling_chance": 0.25}
    for theme, viewport in (("dark", None), ("light", PHONE)):
        look = {"theme": theme} | ({"viewport": viewport} if viewport else {})
        other = sign_in(owner, **look)
        other.goto("/admin/applications/digits/review/?show=wrong")
        other.goto("/admin/applications/digits/review/")
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot(other, f"review-{theme}{'-phone' if viewport else ''}")


def test_a_person_asks_versions_side_by_side(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    row = captured(digits, DIGIT)

    def predicted(body: Any) -> Any:
        if body.get("version") == "forest:1":
            return {"error": "forest: no model is connected", "code": "not_ready"}
        output = {"output": 7, "default": False, "confidence": 0.9, "latency_ms": 3.25}
        return output | {
            "query_id": "r",
            "models": {"svm:1": 7},
            "explain": {"models": {"svm:1": {}, "forest:1": {"why": "too late"}}},
        }

    page = sign_in(owner)
    sent = api(page, predict=predicted, feedback={"accepted": 1, "duplicates": 0, "rejected": []})
    page.goto(f"/admin/applications/digits/try/?captured={row.pk}")
    expect(page.get_by_test_id("input")).to_have_value(DIGIT.decode())
    expect(page.get_by_test_id("curl")).to_contain_text("Api-Key $KEY")
    page.get_by_test_id("ask").click()
    answers = page.get_by_test_id("answers").locator("tr")
    expect(answers).to_have_count(3)
    expect(answers.nth(0)).to_contain_text("forest:1: too late")
    expect(answers.nth(0)).to_contain_text("3.3 ms")
    assert [body.get("version") for _, body in sent] == [None, "forest:1", "svm:1"]
    shot(page, "try")
    page.get_by_label("Right answer").fill("cat")
    page.get_by_role("button", name="Send as feedback").click()
    expect(page.locator("#try-said")).to_have_text("Counted as feedback.")
    assert sent[-1] == ("feedback", {"query_id": "r", "label": "cat"})
    phone = sign_in(owner, viewport=PHONE)
    phone.goto("/admin/applications/digits/try/")
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(phone, "try-phone")
