"""Pages that deploy and roll back show the measures of what they offer."""

from datetime import datetime, timedelta

from django.test import Client
from django.utils import timezone

from registry import services
from registry.models import Application, ModelVersion, Release
from selection.models import SelectionSnapshot
from serving.traffic.models import TrafficRow
from tests.registry.conftest import BY, go_live, passed

TAB = "/admin/applications/digits/releases/"


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
        counts={},
        earned=[200, 187.0],
        rewards={"svm:1": [100, 90.0], "svm:2": [100, 97.0]},
    )


def asked(application: Application, arm: str, *, calls: list[int], at: datetime) -> None:
    counts = [[0] * 7, calls, [30, calls[1]]]
    TrafficRow.objects.create(application=application, at=at, step_s=10, versions={arm: counts})


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
    asked(digits, "svm:1", calls=[1000, 990, 8, 2, 0], at=timezone.now() - timedelta(hours=1))

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
    asked(digits, "svm:1", calls=[1000, 990, 8, 2, 0], at=timezone.now() - timedelta(hours=1))

    page = owner.get(f"/admin/registry/model/{v1.model_id}/rollback/").content.decode()

    assert "reward 90.0 % (88.0 to 92.0) in digits, late or failed 1.0 % of 1,000" in page


def test_a_release_shows_what_it_changed_beside_the_way_back(
    owner: Client, digits: Application, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    release = go_live(v2)
    page = f"/admin/registry/release/{release.pk}/change/"
    assert "no query has asked it yet" in owner.get(page).content.decode()
    live_at = timezone.now() - timedelta(minutes=20)
    Release.objects.filter(pk=release.pk).update(live_at=live_at)
    asked(digits, "svm:1", calls=[1000, 990, 8, 2, 0], at=live_at - timedelta(minutes=5))
    asked(digits, "svm:2", calls=[500, 480, 20, 0, 0], at=live_at + timedelta(minutes=5))

    shown = owner.get(page).content.decode()

    for text in ("First 15 min", "First 1 h, so far", "1.0 % → 4.0 %", "Roll back to svm:1"):
        assert text in shown
    assert "First 24 h" not in shown
    model = owner.get(f"/admin/registry/model/{v1.model_id}/change/").content.decode()
    assert "late or failed 1.0 % → 4.0 %" in model
    assert "late or failed 1.0 % → 4.0 %" in owner.get(TAB).content.decode()


def test_a_model_without_an_earlier_version_offers_no_roll_back(
    owner: Client, v1: ModelVersion, v2: ModelVersion
) -> None:
    page = f"/admin/registry/model/{v1.model_id}/change/"
    go_live(v1)
    assert 'data-testid="rollback"' not in owner.get(page).content.decode()
    go_live(v2)
    assert 'data-testid="rollback"' in owner.get(page).content.decode()
    shown = owner.get("/admin/models/svm/rollback/", follow=True)
    assert "Goes back to" in shown.content.decode()
