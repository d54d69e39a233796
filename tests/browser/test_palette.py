"""⌘K by keyboard alone."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect


def test_a_key_opens_it_and_enter_leads_there(
    owner: Any, sign_in: Callable[..., Any], make_version: Any
) -> None:
    make_version(live=True)
    page = sign_in(owner)
    page.goto("/admin/timeline/")
    page.keyboard.press("Control+k")
    search = page.get_by_role("dialog", name="Search").get_by_label("Search")
    expect(search).to_be_focused()
    # A letter after the other is a search each on a busy machine, the last of which begins anew.
    page.keyboard.insert_text("sv")
    page.keyboard.press("m")
    expect(page.locator("#command-results-list li").first).to_contain_text("svm")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/registry/model/*/change/")
