"""The console where something is missing: scripts, a wide screen, Redis."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from registry.models import Application
from tests.browser.conftest import PASSWORD, PHONE, SignIn
from tests.redis_server import fresh_redis_client

pytestmark = pytest.mark.browser


def test_the_console_works_without_scripts(
    chromium: Browser, live_server: LiveServer, owner: User, digits: Application
) -> None:
    context = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(45_000)

    page.goto("/admin/")
    page.fill("#id_username", owner.username)
    page.fill("#id_password", PASSWORD)
    page.click("button[type=submit]")
    expect(page.get_by_test_id("application-digits")).to_contain_text("No queries yet")
    page.goto("/admin/applications/digits/settings/")
    page.locator("summary", has_text="Name and access").click()
    page.fill("#id_description", "handwritten digits")
    page.click("button[name=_save]")
    page.get_by_test_id("confirm").click()

    expect(page.get_by_text("Saved.")).to_be_visible()
    digits.refresh_from_db()
    assert digits.description == "handwritten digits"
    context.close()


def test_what_a_form_got_wrong_is_on_the_screen_of_a_phone_at_once(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner, viewport=PHONE)

    page.goto("/admin/applications/digits/settings/")
    page.get_by_text("Answers", exact=True).click()
    page.fill("#id_confidence_threshold", "2")
    page.get_by_text("Objective", exact=True).last.click()
    page.fill("#id_slo-0-latency_ms", "")
    page.click("button[name=_save]")

    errors = page.get_by_test_id("errors")
    expect(errors).to_be_in_viewport(ratio=1)
    expect(errors).to_contain_text("Confidence threshold: Expected 0 to 1")
    expect(errors).to_contain_text("Service level objective 1, latency (ms): This")
    field = page.locator("#id_slo-0-latency_ms")
    errors.get_by_role("link", name="latency").click()
    expect(field).to_be_in_viewport()


def test_home_says_that_redis_is_away_and_shows_what_is_kept(
    sign_in: SignIn, owner: User, digits: Application, settings: object
) -> None:
    page = sign_in(owner)
    page.goto("/admin/?idle=1")
    settings.REDIS_URL = "unix:///nowhere/redis.sock"  # type: ignore[attr-defined]
    with fresh_redis_client():
        expect(page.get_by_text("Redis cannot be reached")).to_be_visible(timeout=30_000)
        expect(page.get_by_test_id("application-digits")).to_contain_text("No queries yet")
        page.goto("/admin/system/")
        expect(page.get_by_text("Redis cannot be reached")).to_be_visible()
