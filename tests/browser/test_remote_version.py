"""The form that registers a version shows the fields that its runtime has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SignIn = Callable[..., Page]


def test_only_the_fields_of_the_chosen_runtime_are_shown(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner)
    page.goto("/admin/registry/modelversion/add/")

    remotes = ("#id_url", "#id_credential", "#id_template")
    others = ("#id_method", "#id_requirements", "#id_allow_pickle")
    for runtime, shown, hidden in (("sklearn", others, remotes), ("remote", remotes, others)):
        page.select_option("#id_runtime", runtime)
        for field in shown:
            expect(page.locator(field)).to_be_visible()
        for field in hidden:
            expect(page.locator(field)).to_be_hidden()
        expect(page.locator("#id_replicas")).to_be_visible()
        remote = runtime == "remote"
        expect(page.get_by_text("Where it lives")).to_be_visible(visible=remote)
        expect(page.get_by_text("What it needs")).to_be_visible(visible=not remote)
