"""Forms whose scripts show, ask and hide: an application, a version, an API key."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from registry import services
from registry.models import ApiKey, Application
from tests.browser.conftest import SignIn

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FEEDBACK = "Feedback and contexts"
LAPTOP = {"width": 1280, "height": 800}


def test_the_formula_is_asked_for_only_where_the_loss_is_one(owner: Any, sign_in: SignIn) -> None:
    made = services.create_application(
        name="prices", input_type="doubles", slo_ms=50, by=services.SYSTEM
    )
    page = sign_in(owner, viewport=LAPTOP)
    page.goto(f"/admin/registry/application/{made.pk}/change/")
    page.get_by_role("link", name="Settings").click()
    formula = page.locator("#id_loss_expression")
    formula.wait_for(state="hidden")
    for section, name in (("Answers", "combine"), ("Answers", "cascade_below"), (FEEDBACK, "loss")):
        if not page.locator(f"#id_{name}").is_visible():
            page.locator("summary", has_text=section).click()
        box = page.locator(f"#id_{name}").bounding_box()
        assert box is not None
        # What is chosen or typed there can be read.
        assert box["width"] > 120, name

    page.select_option("#id_loss", "expression")
    formula.fill("abs(label - output) / price")
    page.click("button[name=_save]")
    page.get_by_text("Expected no names but label and output, got 'price'").first.wait_for()
    formula.fill("abs(label - output) / 10")
    page.click("button[name=_save]")
    page.fill("#id_reason", "prices differ")
    page.get_by_test_id("confirm").click()
    page.get_by_text("Saved.").wait_for()
    assert Application.objects.get().loss_expression == "abs(label - output) / 10"


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


def test_only_the_fields_of_the_chosen_runtime_are_shown(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner)
    page.goto("/admin/registry/modelversion/add/")
    page.evaluate("document.querySelectorAll('details').forEach((group) => (group.open = true))")

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
        expect(page.locator("#id_requirements")).to_be_visible(visible=not remote)
