"""Whole tasks by keyboard alone: no click, nothing focused but by Tab, no focus that gets lost."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from registry.models import Application, Release
from serving.alerts.models import Alert
from tests.browser.conftest import MakeVersion, SignIn
from tests.browser.test_experiment import happened
from tests.browser.test_review import api
from tests.console.pages.test_review import captured

pytestmark = pytest.mark.browser

FOCUSED = """() => {
    const e = document.activeElement, box = e.getBoundingClientRect(), look = getComputedStyle(e);
    const drawn = look.outlineStyle !== 'none' || look.boxShadow !== 'none';
    const name = e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.value;
    return e === document.body ? null : {
        name: (name || '').trim(),
        seen: box.width > 0 && (drawn || (e.type || "").startsWith("date")),
    };
}"""
MOST_STOPS = 80


@pytest.fixture
def page(sign_in: SignIn, owner: User) -> Page:
    return sign_in(owner)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until this control has the focus, which is seen at each stop."""
    passed: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        assert stop, f"the focus is lost after {passed}"
        assert stop["seen"], f"nobody sees the focus at {stop['name']}"
        if stop["name"].startswith(name):
            return
        passed.append(stop["name"][:24])
    pytest.fail(f"No {name} among {passed}")


def follow(page: Page, name: str, *, to: str | Callable[[str], bool]) -> None:
    """Tab to a link or button, press Enter, and wait for the page that it leads to."""
    tab_to(page, name)
    page.keyboard.press("Enter")
    page.wait_for_url(to)


def begin(page: Page, url: str = "/admin/") -> None:
    page.goto(url)
    follow(page, "Skip to the content", to="**#content")


def test_a_version_is_rolled_back(page: Page, digits: Application, make_version: Any) -> None:
    make_version(model="svm", version="2", live=True)
    begin(page, "/admin/?q=digits")
    follow(page, "Roll back svm", to="**/rollback/")
    begin(page, page.url)
    tab_to(page, "Reason")
    page.keyboard.insert_text("it is worse")
    follow(page, "Roll back svm", to="**/registry/release/*/change/*")
    release = Release.objects.latest("pk")
    assert f"{release.kind} {release.version}: {release.reason}" == "rollback svm:1: it is worse"


def test_a_proved_best_version_is_applied_and_not_proposed_again(
    page: Page, digits: Application
) -> None:
    best = {"arm": "svm:1", "state": "best", "confidence": 0.99, "since": None, "labels": 900}
    weights = {"svm:1": 0.9, "forest:1": 0.1}
    counts = {arm: [900, 900, 0, 0] for arm in weights}
    happened(digits, minutes_ago=1, weights=weights, counts=counts, recommendation=best)
    begin(page, "/admin/?q=digits")
    follow(page, "Apply it to digits", to="**/settings/?policy=static*")
    expect(page.locator("#id_reason")).to_be_focused()
    page.keyboard.insert_text("proved best")
    follow(page, "Save", to="**/digits/settings/")
    digits.refresh_from_db()
    asked = dict(digits.routes.values_list("model__name", "weight"))
    assert (digits.policy, asked) == ("static", {"svm": 1.0, "forest": 0.0})
    begin(page, "/admin/?q=digits")
    follow(page, "svm alone is asked: keep it", to="**/experiment/")
    expect(page.get_by_test_id("verdict")).to_contain_text("svm alone is asked: keep it")
    expect(page.get_by_test_id("apply")).to_have_count(0)


def test_what_versions_disagree_on_is_labelled(page: Page, digits: Application) -> None:
    captured(digits, json.dumps([1.0] * 64).encode(), answer="7")
    row = captured(digits, json.dumps([2.0] * 64).encode(), answer="7", disagreed=True)
    sent = api(page, feedback={"accepted": 1, "duplicates": 0, "rejected": []})
    begin(page, "/admin/?idle=1")
    follow(page, "digits", to="**/applications/digits/")
    begin(page, page.url)
    follow(page, "Review", to="**/review/")
    expect(page.get_by_test_id("case")).to_be_focused()
    tab_to(page, "Right")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("1 of 1 done")
    row.refresh_from_db()
    assert (row.label, [body["label"] for _, body in sent]) == ("7", [7])


def test_an_alert_is_found_and_muted(page: Page, digits: Application) -> None:
    now = timezone.now()
    times = {"since": now, "fired_at": now, "updated_at": now}
    alert = Alert.objects.create(application=digits, rule="no_answer", state="firing", **times)
    page.goto("/admin/")
    follow(page, "Alerts: 1 firing", to="**/alerts/")
    begin(page, page.url)
    tab_to(page, "Mute 24 h")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Muted.", exact=True)).to_be_visible()
    alert.refresh_from_db()
    assert alert.is_muted(now)


def test_an_application_is_made_of_three_fields(page: Page, make_version: MakeVersion) -> None:
    make_version(live=True)
    begin(page)
    follow(page, "Add application", to="**/applications/new/")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.insert_text("churn")
    tab_to(page, "Model")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Answer within")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("200")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("step")).to_have_count(5)
    made = Application.objects.get()
    assert (made.name, made.slo.latency_ms, made.routes.get().model.name) == ("churn", 200, "svm")
