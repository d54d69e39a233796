"""API keys in the console: shown once, revoked at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from registry.models import ApiKey

pytestmark = pytest.mark.browser

SignIn = Callable[..., Page]


def test_a_new_key_is_shown_once_and_kept_only_as_a_digest(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner)

    page.goto("/admin/registry/apikey/add/")
    page.fill("#id_name", "mobile app")
    page.click("button[name=_save]")
    text = page.get_by_test_id("api-key").inner_text()

    key = ApiKey.objects.get()
    assert key.digest == ApiKey.digest_of(text)
    assert (key.scopes, key.bound, key.created_by) == ({"predict", "feedback"}, False, owner)
    page.goto(f"/admin/registry/apikey/{key.pk}/change/")
    expect(page.get_by_text(text)).to_have_count(0)


def test_revoking_asks_first_and_then_ends_the_key(sign_in: SignIn, owner: User) -> None:
    key = ApiKey.objects.create(name="old backend", prefix="clp_abcdefgh", digest="0" * 64)
    page = sign_in(owner)

    page.goto(f"/admin/registry/apikey/{key.pk}/change/")
    page.get_by_test_id("revoke").click()
    key.refresh_from_db()
    assert key.is_active
    page.get_by_test_id("confirm").click()

    expect(page.get_by_text("is revoked: requests with it are refused")).to_be_visible()
    key.refresh_from_db()
    assert not key.is_active
