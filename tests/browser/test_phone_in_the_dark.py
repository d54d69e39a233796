"""Each page of the console is dark if the system is dark, and fits a phone."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from console.application_pages import APPLICATION_PAGES
from registry import services
from registry.models import ModelVersion
from registry.services import RouteRequest
from tests.browser.conftest import PHONE, SignIn

pytestmark = pytest.mark.browser

PAGES = ["/admin/", *(f"/admin/applications/digits/{page.path}" for page in APPLICATION_PAGES)]


@pytest.mark.parametrize("url", [*PAGES, "/feedback/digits/"])
def test_it_is_dark_and_fits_a_phone(
    sign_in: SignIn, owner: User, make_version: Callable[..., ModelVersion], url: str
) -> None:
    make_version(model="svm", live=True)
    services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50,
        policy="exp4",
        routes=[RouteRequest(model="svm")],
        by=services.SYSTEM,
    )
    page = sign_in(owner, theme="dark", viewport=PHONE)
    page.goto(url)
    expect(page.locator("html")).to_have_class(re.compile(r"\bdark\b"))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    panel = page.locator("#main, .panel").first
    background = panel.evaluate("panel => getComputedStyle(panel).backgroundColor")
    assert float(background.removeprefix("oklch(").split()[0].rstrip("%")) < 0.4
