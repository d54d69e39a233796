"""A rollback leads to the last version that did well, and that one stays warm."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from registry import services
from registry.models import Application, ModelVersion, Release
from serving.traffic.merging import STEP_S, start_of_step
from serving.traffic.models import TrafficRow
from serving.traffic.outcome_counts import OutcomeCounts
from serving.traffic.release_records import note_releases_that_do_well
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def digits() -> Application:
    version = make_version("svm", "good", validated_at=timezone.now())
    application = services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=100.0,
        by=BY,
        routes=[services.RouteRequest(model="svm")],
    )
    goes_live(version)
    return application


def goes_live(version: ModelVersion) -> Release:
    release = services.deploy(version=version, by=BY)
    services.begin_release(release=release)
    services.complete_release(release=release)
    release.refresh_from_db()
    assert release.state == Release.State.LIVE
    return release


def answered(application: Application, arm: str, *, good: int, late: int = 0) -> None:
    row = TrafficRow(
        application=application,
        step_s=STEP_S,
        at=start_of_step(timezone.now() + timedelta(seconds=STEP_S), step_s=STEP_S)
        - timedelta(seconds=STEP_S),
    )
    counts = OutcomeCounts(good=good, late=late)
    row.set_counts({"": counts, arm: counts})
    TrafficRow.objects.filter(application=application, at=row.at).delete()
    row.save()
    Release.objects.live().update(live_at=row.at)


@pytest.mark.parametrize(
    ("counts", "well"),
    [
        ({"good": 1000}, True),
        ({"good": 999}, False),
        ({"good": 2000, "late": 10}, True),
        ({"good": 2000, "late": 100}, False),
    ],
)
def test_it_did_well_by_its_answers(
    digits: Application, counts: dict[str, Any], well: bool
) -> None:
    answered(digits, "svm:good", **counts)
    note_releases_that_do_well()
    assert Release.objects.live().get().did_well == well


def test_after_two_broken_versions_a_rollback_leads_to_the_good_one(digits: Application) -> None:
    answered(digits, "svm:good", good=5000)
    note_releases_that_do_well()
    for name in ("broken", "broken-again"):
        goes_live(make_version("svm", name, validated_at=timezone.now()))
        answered(digits, f"svm:{name}", good=500, late=500)
        note_releases_that_do_well()

    model = digits.routes.get().model
    model.refresh_from_db()
    good = model.versions.get(version="good")
    assert good.is_warm
    rollback = services.roll_back(model=model, by=BY)
    assert (rollback.version, rollback.state) == (good, Release.State.LIVE)
