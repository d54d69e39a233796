"""The console in a real browser, on the running stack and under load."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.conftest import Digits
from tests.integration.stack import Load, Stack, eventually

pytestmark = pytest.mark.browser

SWITCH_S = 60.0


@pytest.fixture
def console(stack: Stack, chromium: Browser) -> Iterator[Page]:
    """A page signed in as the demo's administrator."""
    context = chromium.new_context(base_url=stack.url, viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(45_000)
    page.goto("/admin/login/")
    page.fill("#id_username", stack.demo["admin_user"])
    page.fill("#id_password", stack.demo["admin_password"])
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")
    yield page
    context.close()


def version_asked(load: Load, model: str) -> str:
    """The version of `model` in the latest answer."""
    arms = load.latest().body.get("models", {})
    return next((arm for arm in arms if arm.startswith(f"{model}:")), "")


def confirm(page: Page, *, reason: str) -> None:
    page.get_by_test_id("reason").fill(reason)
    page.get_by_test_id("confirm").click()
    expect(page).to_have_url(re.compile(r"/admin/registry/release/\d+/change/$"))


def test_a_bad_version_is_deployed_and_rolled_back_under_load_and_nobody_is_let_down(
    stack: Stack,
    patient: str,
    digits: Digits,
    console: Page,
    record_property: Callable[[str, object], None],
) -> None:
    inputs, _ = digits
    eventually(stack.ready, seconds=90, what="ready")
    with Load(stack, application=patient, inputs=inputs) as load:
        eventually(lambda: load.count() > 50, seconds=60, what="load")
        assert version_asked(load, "svm-linear") == "svm-linear:1"

        console.goto("/admin/registry/model/?q=svm-linear")
        console.get_by_role("link", name=re.compile("^svm-linear asked")).click()
        console.get_by_role("link", name="Deploy svm-linear:2").click()
        began = time.monotonic()
        confirm(console, reason="trying the second version")
        expect(console.get_by_test_id("release-state")).to_have_text("live", timeout=60_000)
        eventually(
            lambda: version_asked(load, "svm-linear") == "svm-linear:2",
            seconds=SWITCH_S,
            what="the new version answers",
        )
        deployed_s = time.monotonic() - began

        console.goto("/admin/registry/model/?q=svm-linear")
        console.get_by_role("link", name=re.compile("^svm-linear asked")).click()
        console.get_by_test_id("rollback").click()
        console.get_by_test_id("reason").fill("it is worse")
        began = time.monotonic()
        console.get_by_test_id("confirm").click()
        eventually(
            lambda: version_asked(load, "svm-linear") == "svm-linear:1",
            seconds=SWITCH_S,
            what="the old version answers again",
            pause=0.005,
        )
        rolled_back_s = time.monotonic() - began
        enough = load.count() + 100
        eventually(lambda: load.count() > enough, seconds=60, what="load afterwards")
    print(
        f"\ndeploy took {deployed_s:.1f} s, rollback {rolled_back_s:.2f} s; "
        f"{load.count()} answers, {len(load.errors)} errors, {len(load.defaults)} defaults"
    )
    record_property("deployed_s", round(deployed_s, 2))
    record_property("rolled_back_s", round(rolled_back_s, 2))
    assert load.errors == []
    assert load.defaults == []


def test_home_and_overview_show_traffic_trust_and_versions(
    stack: Stack, digits: Digits, console: Page
) -> None:
    with Load(stack, application="digits", inputs=digits[0]):
        console.goto("/admin/")
        # Numbers of the last seconds arrive by themselves, without a reload.
        row = console.get_by_test_id("application-digits")
        expect(row.locator("[data-label=Queries]")).to_contain_text(
            re.compile(r"[1-9][\d,.]* /s"), timeout=60_000
        )
        row.get_by_role("link", name="digits", exact=True).click()
        expect(console.get_by_test_id("flow-version")).to_have_count(5)
        # A busy machine makes them refuse some, and the picture says so.
        state = re.compile(r"Keeping up|Overloaded: refuses")
        expect(console.get_by_test_id("flow")).to_contain_text(state, timeout=60_000)


def test_the_feedback_form_teaches_the_application(
    stack: Stack, digits: Digits, chromium: Browser
) -> None:
    inputs, labels = digits
    context = chromium.new_context(base_url=stack.url)
    page = context.new_page()
    page.goto("/feedback/digits/")
    page.get_by_test_id("key").fill(stack.demo["api_key"])
    page.get_by_test_id("key-save").click()
    page.get_by_test_id("input").fill(str([int(value) for value in inputs[3]]))
    page.get_by_test_id("context").fill("form")
    page.get_by_test_id("predict").click()
    expect(page.get_by_test_id("output")).to_have_text(str(labels[3]))

    page.get_by_test_id("label").fill(str((labels[3] + 1) % 10))
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("accepted")).to_be_visible()

    assert [arm["feedback"] for arm in stack.learned("digits", context="form")] == [1] * 5
    assert stack.feedback_rows(context="form", wait_for=1) == 1
    context.close()
