"""The tab Objective and the series of charts: what they say, to whom, and at which cost."""

import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from console.pages.objective import exact
from console.words.colours import version_colour
from registry.models import Application
from serving.traffic.models import TrafficRow
from tests.serving.traffic.month import keep_a_month

pytestmark = pytest.mark.django_db
HUB = "/admin/applications/digits/"
ARMS = ("svm:1", "knn:1", "mlp:2", "forest:1", "tree:1")


@pytest.fixture
def month(digits: Application) -> Application:
    keep_a_month(digits, arms=ARMS, now=timezone.now())
    return digits


def keep(application: Application, **counts: int) -> None:
    at = timezone.now() - timedelta(minutes=5)
    TrafficRow.objects.create(application=application, at=at, step_s=10, **counts)


def test_an_objective_that_is_missed_says_by_how_much(owner: Client, digits: Application) -> None:
    keep(digits, good=971, late=20, failed=9, invalid=4, abstained=3)
    page = owner.get(f"{HUB}objective/").content.decode()
    for text in ("97.10 %", "29 of 10 bad", "used up", "19 more were bad than it allows"):
        assert text in page
    assert "late <b>69 %</b> (20)" in page


def test_a_share_is_rounded_down() -> None:
    assert [exact(share) for share in (0.99996, 1.0, 0.29, None)] == [
        "99.99 %",
        "100.00 %",
        "29.00 %",
        "—",
    ]


def test_a_month_of_five_versions_costs_little(owner: Client, month: Application) -> None:
    took = []
    for _ in range(2):
        begun = time.process_time()
        owner.get(f"{HUB}objective/")
        took.append(time.process_time() - begun)
    print("processor time, first and next:", took)
    assert took[1] < 0.3


def test_the_series_have_every_step_and_a_mark_for_a_gap(owner: Client, month: Application) -> None:
    found = owner.get(f"{HUB}series.json?period=30d").json()
    charts = found["charts"]
    assert charts.keys() == {"throughput", "latency", "bad", "versions", "right", "trust"}
    for chart in charts.values():
        for series in chart["series"]:
            assert len(series["values"]) == len(found["at"])
    assert charts["latency"]["line"] == 50
    names = {series["label"]: series["colour"] for series in charts["versions"]["series"]}
    assert names == {arm: version_colour(arm) for arm in ARMS}
    assert "gap" in {mark["kind"] for mark in found["marks"]}


def test_the_series_are_for_people_who_may_see_applications(
    client: Client, digits: Application
) -> None:
    assert client.get(f"{HUB}series.json").status_code == 302
    staff = User.objects.create_user("staff", is_staff=True)
    client.force_login(staff)
    assert client.get(f"{HUB}series.json").status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_application"))
    client.force_login(User.objects.get(pk=staff.pk))
    keep(digits, good=5, gaps=1)
    found = client.get(f"{HUB}series.json?period=1h").json()
    # Events are for those who may read the audit trail.
    assert {mark["kind"] for mark in found["marks"]} == {"gap"}
    assert max(found["charts"]["throughput"]["series"][0]["values"]) == 0.5
