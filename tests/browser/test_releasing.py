"""Deploying, rolling back and scaling from the console, as people do it."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from registry import services
from registry.models import Model, ModelVersion, Release
from registry.services import Actor, RouteRequest
from tests.browser.conftest import MakeVersion, SignIn

pytestmark = pytest.mark.browser


ON_A_RELEASE = re.compile(r"/admin/registry/release/\d+/change/$")


def test_a_model_is_registered_and_its_first_version_uploaded(
    sign_in: SignIn, owner: User, tmp_path: Path
) -> None:
    artifact = tmp_path / "svm.skops"
    artifact.write_bytes(b"PK schema.json")
    page = sign_in(owner)

    page.goto("/admin/registry/model/add/")
    page.fill("#id_name", "svm")
    page.select_option("#id_input_type", "doubles")
    page.click("button[name=_save]")
    page.get_by_test_id("upload-version").click()
    page.fill("#id_version", "1")
    page.set_input_files("#id_artifact", artifact)
    expect(page.locator("#id_runtime")).to_have_value("sklearn")
    page.select_option("#id_runtime", "onnx")
    expect(page.get_by_text("no artifact of onnx: it looks like one of sklearn")).to_be_visible()
    page.select_option("#id_runtime", "sklearn")
    page.click("button[name=_save]")

    expect(page.get_by_test_id("version-check")).to_contain_text("running")
    version = ModelVersion.objects.get()
    assert (str(version), version.size, version.created_by) == ("svm:1", 14, owner)


def test_a_deploy_shows_what_changes_asks_why_and_is_followed_until_it_is_live(
    sign_in: SignIn, owner: User, make_version: MakeVersion
) -> None:
    make_version(version="1", live=True)
    better = make_version(version="2")
    services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50,
        routes=[RouteRequest(model="svm")],
        by=services.SYSTEM,
    )
    page = sign_in(owner)

    page.goto(f"/admin/registry/modelversion/{better.pk}/change/")
    page.get_by_test_id("deploy").click()
    expect(page.get_by_test_id("from-version")).to_have_text("svm:1")
    expect(page.get_by_test_id("to-version")).to_have_text("svm:2")
    expect(page.get_by_test_id("affected")).to_contain_text("digits")
    page.get_by_test_id("reason").fill("two points better")
    page.get_by_test_id("confirm").click()

    expect(page).to_have_url(ON_A_RELEASE)
    state = page.get_by_test_id("release-state")
    expect(state).to_have_text("pending")
    release = Release.objects.get(version=better)
    assert (release.reason, release.by) == ("two points better", owner)
    services.begin_release(release=release)
    expect(state).to_have_text("starting")
    services.complete_release(release=release)
    expect(state).to_have_text("live")
    expect(page.locator("[data-step=done]")).to_have_count(3)


def test_a_failed_release_says_what_went_wrong_without_a_reload(
    sign_in: SignIn, owner: User, make_version: MakeVersion
) -> None:
    version = make_version()
    page = sign_in(owner)

    page.goto(f"/admin/registry/modelversion/{version.pk}/deploy/")
    page.get_by_test_id("reason").fill("the first one")
    page.get_by_test_id("confirm").click()
    expect(page).to_have_url(ON_A_RELEASE)
    services.fail_release(release=Release.objects.get(), error="no module named lightgbm")

    expect(page.get_by_test_id("release-state")).to_have_text("failed")
    expect(page.get_by_test_id("release-error")).to_have_text("no module named lightgbm")


def test_a_roll_back_goes_to_the_earlier_version_that_was_chosen(
    sign_in: SignIn, owner: User, make_version: MakeVersion
) -> None:
    for number in ("1", "2", "3"):
        make_version(version=number, live=True)
    model = Model.objects.get()
    page = sign_in(owner)

    page.goto(f"/admin/registry/model/{model.pk}/rollback/")
    expect(page.get_by_test_id("rollback-to").first).to_be_checked()
    page.get_by_text("svm:1", exact=True).click()
    page.get_by_test_id("reason").fill("back to the first")
    page.get_by_test_id("confirm").click()

    expect(page.get_by_test_id("release-state")).to_have_text("pending")
    release = Release.objects.open().get()
    assert (str(release.version), release.kind) == ("svm:1", "rollback")


def test_after_a_roll_back_what_was_broken_is_not_the_one_suggested(
    sign_in: SignIn, owner: User, make_version: MakeVersion
) -> None:
    make_version(version="1", live=True)
    make_version(version="2", live=True)
    model = Model.objects.get()
    services.roll_back(model=model, by=Actor(user=owner, label="owner"), reason="worse")
    page = sign_in(owner)

    page.goto(f"/admin/registry/model/{model.pk}/rollback/")
    expect(page.locator(".clp-choice")).to_contain_text("svm:2")
    expect(page.locator(".clp-choice")).to_contain_text("rolled back")
    expect(page.get_by_test_id("rollback-to")).not_to_be_checked()
    page.get_by_test_id("reason").fill("it was the network after all")
    page.get_by_test_id("confirm").click()

    expect(page.get_by_text("Choose the version to go back to.")).to_be_visible()
    model.refresh_from_db()
    assert str(model.live_version) == "svm:1"


def test_a_viewer_sees_versions_but_is_offered_no_deploy(
    sign_in: SignIn, viewer: User, make_version: MakeVersion
) -> None:
    version = make_version()
    page = sign_in(viewer)

    page.goto(f"/admin/registry/modelversion/{version.pk}/change/")
    expect(page.get_by_text("svm:1").first).to_be_visible()

    expect(page.get_by_test_id("deploy")).to_have_count(0)
    answer = page.request.get(f"/admin/registry/modelversion/{version.pk}/deploy/")
    assert answer.status == 403
