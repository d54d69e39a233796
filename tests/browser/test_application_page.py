"""An application's page: how its feedback judges is set there."""

from __future__ import annotations

from typing import Any

import pytest

from registry import services
from registry.models import Application
from tests.browser.conftest import SignIn

LAPTOP = {"width": 1280, "height": 800}

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_formula_is_asked_for_only_where_the_loss_is_one(owner: Any, sign_in: SignIn) -> None:
    made = services.create_application(
        name="prices", input_type="doubles", slo_ms=50, by=services.SYSTEM
    )
    page = sign_in(owner, viewport=LAPTOP)
    page.goto(f"/admin/registry/application/{made.pk}/change/")
    formula = page.locator("#id_loss_expression")
    formula.wait_for(state="hidden")
    for name in ("combine", "confidence_threshold", "cascade_below", "feedback_window_s"):
        box = page.locator(f"#id_{name}").bounding_box()
        assert box is not None
        # What is chosen or typed there can be read.
        assert box["width"] > 120, name

    page.select_option("#id_loss", "expression")
    formula.fill("abs(label - output) / price")
    page.click("button[name=_continue], button[name=_save]")
    page.get_by_text("Expected no names but label and output, got 'price'").first.wait_for()
    formula.fill("abs(label - output) / 10")
    page.click("button[name=_save]")
    page.get_by_text("was changed successfully").wait_for()
    assert Application.objects.get().loss_expression == "abs(label - output) / 10"
