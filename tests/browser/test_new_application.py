"""From nothing to an application's first steps, in a browser."""

from pathlib import Path

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
    page.get_by_label("Model", exact=True).select_option("svm")
    page.get_by_test_id("create").click()

    expect(page.get_by_test_id("step")).to_have_count(5)
    page.get_by_test_id("make-key").click()
    expect(page.get_by_test_id("api-key")).to_contain_text("clp_")
    expect(page.get_by_test_id("snippet-curl")).to_contain_text("Api-Key clp_")


def test_a_models_file_leads_there_too(sign_in: SignIn, owner: User, tmp_path: Path) -> None:
    file = tmp_path / "iris.skops"
    file.write_bytes(b"PK schema.json")
    page = sign_in(owner)
    page.goto("/admin/applications/new/")
    expect(page.get_by_label("Runtime", exact=True)).to_be_hidden()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_label("Runtime", exact=True)).to_have_value("sklearn")
    page.get_by_label("name").fill("digits-")
    page.get_by_test_id("create").click()
    expect(page.locator(".clp-errors")).to_be_visible()
    page.get_by_label("name").fill("iris")
    page.get_by_test_id("create").click()
    expect(page.get_by_test_id("step").first).to_contain_text("iris:1 is pending")
