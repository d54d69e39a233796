"""A version is checked once it is there; a release goes by what that told while it holds."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.errors import Forbidden
from registry import services
from registry.models import Model, ModelVersion, Release, VersionCheck
from registry.services.version_checks import REMOTE_HOLDS
from tests.registry.conftest import BY, AddVersion, Api, go_live, passed

pytestmark = pytest.mark.django_db

NOBODY = services.Actor(user=None, label="nobody")


@pytest.fixture
def uploaded(svm: Model) -> ModelVersion:
    return services.create_version(
        model=svm, version="7", runtime="sklearn", artifact=io.BytesIO(b"model"), by=BY
    )


def check_of(version: ModelVersion) -> VersionCheck:
    return VersionCheck.objects.get(version=version)


def test_an_upload_asks_for_a_check_for_which_its_release_waits(uploaded: ModelVersion) -> None:
    check = check_of(uploaded)
    assert check.is_open
    release = services.deploy(version=uploaded, by=BY)
    assert (release.state, check_of(uploaded).pk) == (Release.State.PENDING, check.pk)


def test_its_report_is_there_before_anybody_deploys(uploaded: ModelVersion, manager: Api) -> None:
    report = {"samples": [{"input": "[1]", "output": "2"}]}
    passed(uploaded, n_features=1, output="hello", report=report)
    body = manager("get", "models/svm/versions/7").json()
    assert (body["check"]["state"], body["n_features"]) == ("passed", 1)
    assert (body["check"]["output"], body["check"]["report"]) == ("hello", report)
    assert body["check"]["ended_at"]
    assert body["validated_at"]


def test_what_is_wrong_is_told_before_anybody_deploys(uploaded: ModelVersion, manager: Api) -> None:
    services.fail_check(check=check_of(uploaded), error="no weights", output="loading")
    body = manager("get", "models/svm/versions/7").json()
    assert (body["check"]["state"], body["check"]["error"]) == ("failed", "no weights")
    assert (body["load_error"], body["validated_at"]) == ("no weights", None)


def test_a_check_that_still_holds_is_not_made_again(uploaded: ModelVersion) -> None:
    check = passed(uploaded)
    services.deploy(version=uploaded, by=BY)
    assert check_of(uploaded).pk == check.pk


@pytest.mark.parametrize(
    "change", [{"memory_limit_mb": 256}, {"threads": 2}, {"load_timeout_s": 9}]
)
def test_within_other_limits_it_is_made_again(
    uploaded: ModelVersion, change: dict[str, Any]
) -> None:
    check = passed(uploaded)
    services.configure_version(version=uploaded, by=BY, **change)
    services.deploy(version=uploaded, by=BY)
    again = check_of(uploaded)
    assert again.is_open
    assert again.pk > check.pk


def test_one_that_failed_is_made_again_for_whoever_deploys_anyway(
    uploaded: ModelVersion, manager: Api
) -> None:
    services.fail_check(check=check_of(uploaded), error="the index is down")
    refused = manager("post", "models/svm/versions/7/deploy", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "check_failed")
    assert "the index is down" in refused.json()["error"]
    assert not Release.objects.exists()
    assert manager("post", "models/svm/versions/7/deploy", {"anyway": True}).status_code == 202
    assert check_of(uploaded).is_open


def test_one_that_failed_within_other_limits_hinders_no_deploy(uploaded: ModelVersion) -> None:
    services.fail_check(check=check_of(uploaded), error="it took too long")
    services.configure_version(version=uploaded, by=BY, load_timeout_s=500)
    services.deploy(version=uploaded, by=BY)
    assert check_of(uploaded).is_open


def test_a_remote_model_is_asked_again_after_a_while(uploaded: ModelVersion) -> None:
    ModelVersion.objects.update(remote={"url": "http://10.0.0.7/"})
    check = passed(uploaded)
    uploaded.refresh_from_db()
    services.deploy(version=uploaded, by=BY)
    assert check_of(uploaded).pk == check.pk
    Release.objects.update(state=Release.State.SUPERSEDED)
    VersionCheck.objects.update(ended_at=timezone.now() - REMOTE_HOLDS - timedelta(seconds=1))
    services.deploy(version=uploaded, by=BY)
    assert check_of(uploaded).is_open


def test_whoever_goes_back_waits_for_no_check(
    uploaded: ModelVersion, svm: Model, add_version: AddVersion
) -> None:
    go_live(uploaded)
    go_live(add_version("8"))
    ModelVersion.objects.update(warm_until=None, memory_limit_mb=256)
    check = check_of(uploaded)
    release = services.roll_back(model=svm, to=uploaded, by=BY)
    assert not services.needs_check(release)
    assert check_of(uploaded).pk == check.pk


def test_a_check_that_was_replaced_says_nothing_any_more(uploaded: ModelVersion) -> None:
    old = check_of(uploaded)
    services.fail_check(check=old, error="the index is down")
    services.deploy(version=uploaded, by=BY, anyway=True)
    services.pass_check(check=old)
    services.fail_check(check=old, error="too late")
    assert check_of(uploaded).is_open
    uploaded.refresh_from_db()
    assert (uploaded.validated_at, uploaded.load_error) == (None, "the index is down")


def test_code_that_has_passed_its_check_is_still_deployed_first_by_whoever_may_run_it(
    svm: Model,
) -> None:
    version = services.create_version(
        model=svm, version="7", runtime="python", artifact=io.BytesIO(b"code"), by=BY
    )
    passed(version)
    version.refresh_from_db()
    with pytest.raises(Forbidden, match="run_code"):
        services.deploy(version=version, by=NOBODY)
    go_live(version)
