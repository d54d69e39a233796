"""Pages that deploy and roll back show the measures of what they offer."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from registry import services
from registry.models import Application, ModelVersion, Release
from selection.models import SelectionSnapshot
from tests.registry.conftest import BY, go_live, passed


def reward(value: float, low: float, high: float) -> dict[str, object]:
    return {"reward_interval": {"value": value, "low": low, "high": high}}


def learned(application: Application, **hours: float) -> None:
    """Have svm:1 earn 90 % and svm:2 97 % in a step that ended then."""
    at = timezone.now() - timedelta(**(hours or {"minutes": 2}))
    SelectionSnapshot.objects.create(
        application=application,
        since=at - timedelta(seconds=10),
        at=at,
        step_s=10,
        policy="exp4",
        arms={"svm:1": reward(0.9, 0.88, 0.92), "svm:2": reward(0.97, 0.95, 0.98)},
        counts={"svm:1": [1000, 990, 8, 2], "svm:2": [100, 100, 0, 0]},
        earned=[200, 187.0],
        rewards={"svm:1": [100, 90.0], "svm:2": [100, 97.0]},
    )


def deploy_page(version: ModelVersion) -> str:
    return f"/admin/registry/modelversion/{version.pk}/deploy/"


def test_a_deploy_shows_both_versions_measures_and_what_they_differ_in(
    owner: Client, digits: Application, v1: ModelVersion, v2: ModelVersion
) -> None:
    kept = {"with": "svm:1", "inputs": 512, "answered": 512, "same": 471}
    go_live(v1)
    passed(v2, report={"latency": [{"size": 1, "p50_ms": 3.0, "p99_ms": 6.5}], "kept": kept})
    services.configure_version(version=v2, by=BY, threads=4)
    learned(digits)

    page = owner.get(deploy_page(v2)).content.decode()

    assert "svm:2 is better in digits: svm:2 97.0 % (95.0 to 98.0), svm:1 90.0 %" in page
    for text in ("1.0 % of 1,000", "3.0 ms, 6.5 ms in its check", "471 of 512 as svm:1", "Threads"):
        assert text in page
    assert "Memory limit" not in page


def test_a_check_that_still_runs_is_said(owner: Client, v2: ModelVersion) -> None:
    assert "Its check is still running" in owner.get(deploy_page(v2)).content.decode()


def test_a_version_that_failed_its_check_is_deployed_anyway_alone(
    owner: Client, v2: ModelVersion
) -> None:
    services.fail_check(check=services.request_check(v2), error="no <weights>")

    page = owner.post(deploy_page(v2), {"reason": "hope"}).content.decode()

    assert "It failed its check: no &lt;weights&gt;" in page
    assert "tick this" in page
    assert not Release.objects.exists()
    assert owner.post(deploy_page(v2), {"reason": "hope", "anyway": "on"}).status_code == 302
    assert Release.objects.get().version == v2


def test_a_roll_back_shows_the_measures_of_each_choice(
    owner: Client, digits: Application, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    go_live(v2)
    learned(digits)

    page = owner.get(f"/admin/registry/model/{v1.model_id}/rollback/").content.decode()

    assert "reward 90.0 % (88.0 to 92.0) in digits, late or failed 1.0 % of 1,000" in page
