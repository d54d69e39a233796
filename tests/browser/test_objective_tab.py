"""The tab Objective: figures, a strip of days, and a chart read by eye, keyboard or table."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from registry.models import Application
from tests.browser.conftest import PHONE, SignIn
from tests.serving.traffic.month import keep_a_month

pytestmark = pytest.mark.browser
TAB = "/admin/applications/digits/objective/"


@pytest.fixture
def month(digits: Application) -> Application:
    keep_a_month(digits, arms=("svm:1", "forest:1"), now=timezone.now())
    return digits


def test_a_month_is_read_at_a_glance_by_keyboard_and_as_a_table(
    sign_in: SignIn, owner: User, month: Application
) -> None:
    page = sign_in(owner)
    page.goto(TAB)
    tiles = page.get_by_test_id("tile")
    expect(tiles.nth(0)).to_contain_text(re.compile(r"9\d\.\d\d %"))
    expect(page.get_by_test_id("strip").locator("li")).to_have_count(28)
    expect(page.get_by_test_id("use").first).to_contain_text("forest:1")
    plot = page.locator("figure .clp-plot")
    expect(plot.locator("canvas")).to_have_count(1)
    mark = plot.locator(".clp-mark[data-kind=release]").first
    expect(mark).to_have_attribute("href", re.compile("/admin/"))
    plot.focus()
    page.keyboard.press("Home")
    expect(page.locator(".clp-chart-said")).to_contain_text("budget left")
    page.get_by_text("Table", exact=True).click()
    assert page.locator("figure table tbody tr").count() > 300


@pytest.mark.parametrize("look", [{"theme": "dark"}, {"viewport": PHONE}])
def test_it_fits_and_has_its_chart_whatever_it_looks_like(
    sign_in: SignIn, owner: User, month: Application, look: dict[str, Any]
) -> None:
    page = sign_in(owner, **look)
    page.goto(TAB)
    expect(page.locator("figure canvas")).to_have_count(1)
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_a_query_it_says_what_to_do(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto(TAB)
    expect(page.get_by_test_id("empty")).to_contain_text("Try it")
