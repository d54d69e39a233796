"""Attainment, budget and what used it, and what another objective would have attained."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from registry import services
from registry.models import Model, ModelVersion, Release
from registry.services import Actor
from serving.metrics.outcomes import QueryEnding
from serving.traffic.history import totals
from serving.traffic.models import TrafficRow
from serving.traffic.objective import attained, used_by_releases, what_if
from tests.serving.traffic.counting import NOON, Counted

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)

pytestmark = pytest.mark.django_db


@pytest.fixture
def counted() -> Counted:
    found = Counted()
    found.start()
    return found


def answer(counted: Counted, *, good: int = 0, **others: int) -> None:
    endings = {cause: getattr(QueryEnding, cause.upper()) for cause in others}
    for _ in range(good):
        counted.answer(counted.processes[0])
    for cause, number in others.items():
        for _ in range(number):
            counted.answer(counted.processes[0], error=endings[cause])
    counted.merge()


def test_the_budget_is_what_may_be_bad(counted: Counted) -> None:
    answer(counted, good=396, failed=1, refused=1, no_replica=1, timed_out=1, invalid=7)
    status = attained(counted.application, now=counted.now)
    assert status.share == 0.99
    assert status.kept
    assert (status.allowed, status.budget_left) == (pytest.approx(4.0), pytest.approx(0.0))
    assert status.burn_rate == pytest.approx(1.0)
    assert status.counts.bad_by_cause() == {"late": 1, "failed": 1, "refused": 1, "no_replica": 1}
    assert (status.counts.total, status.counts.invalid) == (400, 7)


def test_without_queries_nothing_is_attained_and_nothing_missed(counted: Counted) -> None:
    status = attained(counted.application, now=NOON)
    assert (status.share, status.budget_left, status.burn_rate) == (None, None, None)
    assert status.kept


def test_a_young_window_begins_with_its_first_query(counted: Counted) -> None:
    answer(counted, good=1)
    counted.now += timedelta(hours=3)
    assert attained(counted.application, window="28d", now=counted.now).since == NOON
    hour = attained(counted.application, window="1h", now=counted.now)
    assert hour.counts.total == 0


def test_the_budget_lasts_as_long_as_the_rate_of_a_period_says(counted: Counted) -> None:
    answer(counted, good=90, failed=10)
    status = attained(counted.application, now=NOON + timedelta(hours=1))
    assert status.lasts(20.0) == timedelta(hours=2)
    assert status.lasts(-5.0) == timedelta(0)


def test_bad_queries_are_told_by_version_and_by_the_release_that_was_the_last(
    counted: Counted,
) -> None:
    model = Model.objects.create(name="svm", input_type="doubles")
    version = ModelVersion.objects.create(model=model, version="1", runtime="sklearn")
    for seconds in (-60, 20):
        Release.objects.create(
            model=model,
            version=version,
            kind="deploy",
            state="superseded",
            live_at=NOON + timedelta(seconds=seconds),
        )
    counted.application.routes.create(model=model)
    answer(counted, good=5, failed=2)
    counted.now += timedelta(seconds=30)
    answer(counted, timed_out=3)
    until = counted.now + timedelta(seconds=1)
    by_release = used_by_releases(counted.application, since=NOON, until=until)
    assert by_release[0].by_cause["late"] == 3
    assert [(use.bad, use.release and use.release.live_at) for use in by_release] == [
        (3, NOON + timedelta(seconds=20)),
        (2, NOON - timedelta(seconds=60)),
    ]


def test_another_objective_is_told_exactly_below_and_within_bounds_above(counted: Counted) -> None:
    process = counted.processes[0]
    for seconds, number in ((0.01, 80), (0.04, 10), (0.06, 4)):
        for _ in range(number):
            counted.answer(process, seconds=seconds)
    for _ in range(6):
        counted.answer(process, seconds=0.05, default=QueryEnding.TIMED_OUT)
    counted.merge()
    counts = totals(counted.application, since=NOON, until=counted.now + timedelta(1)).counts
    shorter, same, longer = what_if(counts, latencies_ms=(20, 50, 200), slo_ms=50.0)
    assert (shorter.low, shorter.high) == (0.8, 0.8)
    assert (same.low, same.high) == (pytest.approx(0.9, abs=0.04), pytest.approx(0.96, abs=0.04))
    assert (longer.low, longer.high) == (0.94, 1.0)


# --- over REST ----------------------------------------------------------------------------------


def get(path: str, *, status: int = 200) -> Any:
    _, key = services.create_api_key(name="a key", scopes=("manage",), by=BY)
    headers = {"Authorization": f"Api-Key {key}"}
    answer = Client().get(f"/api/v1/applications/digits/{path}", headers=headers)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_the_status_and_the_traffic_are_read_over_rest(counted: Counted) -> None:
    counted.now = timezone.now() - timedelta(minutes=1)
    answer(counted, good=99, failed=1)
    body = get("slo/status?window=1h")
    assert (body["attainment"], body["good"], body["total"]) == (0.99, 99, 100)
    assert body["budget_left"] == pytest.approx(0.0)
    assert body["burn_rate"] == pytest.approx(1.0)
    assert body["bad_by_cause"] == {"late": 0, "failed": 1, "refused": 0, "no_replica": 0}
    assert get("slo/status")["window"] == "28d"
    points = get("traffic?step_s=60")["points"]
    assert sum(point["total"] for point in points) == 100
    (busy,) = [point for point in points if point["total"]]
    assert busy["versions"]["svm:1"]["good"] == 99
    assert busy["p99_ms"] == pytest.approx(10.0, rel=0.25)


@pytest.mark.parametrize("path", ["slo/status?window=2h", "traffic?step_s=1", "traffic?since=x"])
def test_what_is_asked_wrongly_is_refused(counted: Counted, path: str) -> None:
    assert get(path, status=400)["code"] == "malformed"


def test_a_period_of_too_many_points_is_refused(counted: Counted) -> None:
    since = (timezone.now() - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "step_s" in get(f"traffic?step_s=10&since={since}", status=400)["error"]
    assert len(get(f"traffic?since={since}")["points"]) <= 500
    assert not TrafficRow.objects.exists()
