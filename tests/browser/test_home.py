"""Home in a browser: rows follow what is kept, and a filter finds one among many."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from registry.models import Application
from serving.alerts.models import Alert
from serving.traffic.models import TrafficRow
from tests.browser.conftest import PHONE, SignIn

pytestmark = pytest.mark.browser
# Rows are asked for every five seconds.
SOON_MS = 30_000


def keep(application: Application, *, good: int) -> None:
    at = timezone.now() - timedelta(seconds=15)
    TrafficRow.objects.create(
        application=application, at=at, step_s=10, good=good, latency=[20, good]
    )


def test_rates_and_alarms_arrive_by_themselves_and_a_filter_stays(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto("/admin/")
    row = page.get_by_test_id("application-digits")
    page.get_by_role("searchbox", name="Filter").fill("dig")
    expect(row).to_contain_text("No queries yet")

    row.get_by_title("Charts of the last 7 days").focus()
    keep(digits, good=600)
    expect(row).to_contain_text("10 /s", timeout=SOON_MS)
    expect(row.get_by_title("Charts of the last 7 days")).to_be_focused()

    now = timezone.now()
    Alert.objects.create(
        application=digits, rule="no_answer", state="firing", sentence="Nobody is ready.",
        since=now, fired_at=now, updated_at=now,
    )  # fmt: skip
    expect(page.get_by_test_id("alarm")).to_contain_text("Nobody is ready.", timeout=SOON_MS)
    expect(row).to_have_attribute("data-state", "stopped")
    page.get_by_role("searchbox", name="Filter").fill("other")
    expect(row).to_have_count(0)


@pytest.mark.parametrize(
    "where", ["/admin/?idle=1", "/admin/system/", "/admin/applications/digits/"]
)
def test_it_fits_a_phone(sign_in: SignIn, owner: User, digits: Application, where: str) -> None:
    page = sign_in(owner, viewport=PHONE, theme="dark")
    keep(digits, good=600)
    page.goto(where)
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
