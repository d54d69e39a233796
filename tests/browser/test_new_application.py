"""From nothing to an application's first steps, in a browser."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from tests.browser.conftest import MakeVersion, SignIn

pytestmark = pytest.mark.browser


def test_three_fields_lead_to_the_first_steps(
    sign_in: SignIn, owner: User, make_version: MakeVersion
) -> None:
    make_version(model="svm", version="1")
    page = sign_in(owner)
    page.goto("/admin/applications/new/")
    page.get_by_label("name").fill("churn")
    page.get_by_label("model", exact=False).select_option("svm")
    page.get_by_test_id("create").click()

    expect(page.get_by_test_id("step")).to_have_count(4)
    page.get_by_test_id("make-key").click()
    expect(page.get_by_test_id("api-key")).to_contain_text("clp_")
    expect(page.get_by_test_id("snippet-curl")).to_contain_text("Api-Key clp_")
