"""People & keys: a colleague with a role, a key with how to use it, what nobody may press."""

import os
import re
from collections.abc import Callable

from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from registry.models import Application
from registry.security.grants import Grant, grant_of
from tests.browser.conftest import SignIn


def shot(page: Page, name: str) -> None:
    if where := os.environ.get("SHOTS"):
        page.screenshot(path=f"{where}/{name}.png", full_page=True)


def test_a_colleague_who_may_only_look_is_added_and_signs_in(
    sign_in: SignIn, open_page: Callable[..., Page], owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto("/admin/")
    page.get_by_role("link", name="People & keys").click()
    form = page.get_by_test_id("person-form")
    form.get_by_label("Name").fill("grace")
    form.get_by_label("digits").check()
    shot(page, "people")
    form.get_by_role("button", name="Add").click()
    password = page.get_by_test_id("api-key").inner_text()
    shot(page, "people-added")
    grace = User.objects.get(username="grace")
    assert grant_of(grace) == Grant(role="viewer", applications=frozenset({digits.pk}))
    visitor = open_page()
    visitor.goto("/admin/")
    visitor.get_by_label("Username").fill("grace")
    visitor.get_by_label("Password").fill(password)
    visitor.get_by_role("button", name=re.compile("Log in|Sign in")).click()
    expect(visitor.get_by_role("link", name="Timeline")).to_be_visible()
    expect(visitor.get_by_role("link", name="People & keys")).to_have_count(0)
    page.get_by_test_id("people").get_by_role("link", name="grace", exact=True).click()
    shot(page, "person")
    page.get_by_test_id("lock").click()
    visitor.reload()
    expect(visitor.get_by_label("Password")).to_be_visible()
    page.get_by_test_id("people").get_by_role("link", name="grace", exact=True).click()
    expect(page.get_by_test_id("lock")).to_have_text("Unlock")
    page.get_by_text("Remove…").click()
    page.get_by_test_id("remove").click()
    expect(page.get_by_text("grace is removed")).to_be_visible()


def test_a_key_comes_with_how_to_ask(sign_in: SignIn, owner: User, digits: Application) -> None:
    page = sign_in(owner)
    page.goto("/admin/people/")
    page.get_by_role("link", name="Make a key").click()
    page.get_by_label("Name").fill("shop")
    page.get_by_role("button", name="Save").click()
    key = page.get_by_test_id("api-key").inner_text()
    expect(page.get_by_text(f"Authorization: Api-Key {key}")).to_be_visible()
    shot(page, "key")
    page.goto("/admin/people/")
    shot(page, "people-key")
    expect(page.get_by_test_id("key")).to_contain_text("never")
