"""Times in the viewer's zone, the keyboard alone, paper, and a browser without scripts."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from registry.models import Application, AuditEntry
from tests.browser.conftest import PHONE, SignIn

pytestmark = pytest.mark.browser


def test_times_are_those_of_the_viewers_zone_with_utc_on_hover(
    sign_in: SignIn, owner: User, digits: Application, chromium: Browser
) -> None:
    at = AuditEntry.objects.latest("pk").at
    page = sign_in(owner)
    abroad = chromium.new_context(timezone_id="Asia/Kathmandu")
    abroad.add_cookies(page.context.cookies())  # type: ignore[arg-type]  # as they were given
    there = abroad.new_page()
    page.goto("/admin/timeline/")
    there.goto(page.url)
    utc = there.get_by_test_id("event").first.locator("time")
    expect(utc).to_have_attribute("title", f"{at:%Y-%m-%d %H:%M:%S} UTC")
    minutes = (at.hour * 60 + at.minute + 5 * 60 + 45) % (24 * 60)
    expect(utc).to_have_text(f"{minutes // 60:02}:{minutes % 60:02}")
    expect(there.locator(".clp-events-day").first).to_contain_text("Today")
    abroad.close()


def test_the_menu_is_skipped_and_every_menu_opens_by_keys(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto("/admin/registry/application/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    account = page.get_by_role("button", name="owner")
    account.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    for name in ("Menu", "Search"):
        expect(page.get_by_role("button", name=name).first).to_be_visible()


def test_paper_has_the_content_alone(sign_in: SignIn, owner: User, digits: Application) -> None:
    page = sign_in(owner)
    page.goto("/admin/timeline/")
    page.emulate_media(media="print")
    expect(page.locator("#nav-sidebar")).to_be_hidden()
    expect(page.get_by_role("button", name="Filter")).to_be_hidden()
    expect(page.get_by_test_id("event").first).to_be_visible()


def test_without_scripts_pages_say_what_needs_them(
    chromium: Browser, sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto("/admin/timeline/")
    plain = chromium.new_context(java_script_enabled=False, viewport=PHONE)  # type: ignore[arg-type]  # a plain dict
    plain.add_cookies(page.context.cookies())  # type: ignore[arg-type]  # as they were given
    bare = plain.new_page()
    bare.goto(page.url)
    # What stands in <noscript> isn't drawn where scripts are only held back.
    assert "Without JavaScript" in page.request.get(page.url).text()
    expect(bare.get_by_test_id("event").first.locator("time")).to_be_visible()
    plain.close()
