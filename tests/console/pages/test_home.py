"""Home: a row for each application, what fires above, and a cost that doesn't grow with them."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.pages.home import sparkline
from registry import services
from registry.models import Application, AuditEntry, Model, ModelVersion
from registry.services import RouteRequest
from serving.alerts.models import Alert
from serving.traffic.models import TrafficRow
from tests.console.people import staff

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("server_redis")]


def make(name: str, **counts: Any) -> Application:
    made = services.create_application(
        name=name, input_type="doubles", slo_ms=50, by=services.SYSTEM,
        routes=[RouteRequest(model="svm")],
    )  # fmt: skip
    if counts:
        at = timezone.now() - timedelta(seconds=20)
        TrafficRow.objects.create(application=made, at=at, step_s=10, latency=[20, 600], **counts)
    return made


def names(page: str) -> list[str]:
    return re.findall(r'data-testid="application-([\w-]+)"', page)


def test_who_burnt_most_of_the_budget_stands_first_and_idle_ones_are_folded(
    owner: Client, v1: ModelVersion
) -> None:
    make("calm", good=599, late=1)
    make("burnt", good=400, late=200)
    make("fresh")
    asleep = TrafficRow.objects.filter(application=make("asleep", good=600))
    asleep.update(at=timezone.now() - timedelta(hours=2))
    assert "No model is live" in owner.get("/admin/").content.decode()
    Model.objects.filter(pk=v1.model_id).update(live_version=v1)
    page = owner.get("/admin/").content.decode()
    assert names(page) == ["burnt", "calm", "fresh"]
    assert "Show 1 idle application<" in page
    assert names(owner.get("/admin/home/?idle=1").content.decode()) == [
        "burnt",
        "calm",
        "asleep",
        "fresh",
    ]
    assert names(owner.get("/admin/home/?q=SLEE").content.decode()) == ["asleep"]
    row = page[page.index("application-burnt") :]
    for text in ("Misses its objective", "66.66 %", "10 /s", "Created application"):
        assert text in row
    for tab in ("?period=7d", "objective/", "try/"):
        assert f"/admin/applications/burnt/{tab}" in row


def test_a_deploy_that_is_live_can_be_rolled_back_from_here(
    owner: Client, digits: Application
) -> None:
    """Its last change is what a person did, not the end that it came to."""
    model = digits.routes.get().model
    about = {"by": "ann", "kind": "model", "name": "svm", "model_id": model.pk}
    changes = {"asked_version": ["svm:1", "svm:2"]}
    deploy = AuditEntry.objects.create(action="deploy", changes=changes, **about)
    AuditEntry.objects.create(action="go_live", cause_id=deploy.pk, **about)
    page = owner.get("/admin/?idle=1").content.decode()
    assert f"/admin/timeline/{deploy.pk}/" in page
    assert "Deployed svm:2" in page
    assert "/admin/models/svm/rollback/" in page
    assert (
        "/admin/models/svm/rollback/"
        not in staff("view_application", "view_auditentry").get("/admin/?idle=1").content.decode()
    )


def test_what_fires_stands_above_for_those_who_may_see_it(
    owner: Client, digits: Application
) -> None:
    now = timezone.now()
    for name, sentence, muted in (("no_answer", "Nobody.", None), ("fast_burn", "Hm.", now)):
        Alert.objects.create(
            application=digits, rule=name, state="firing", sentence=sentence, since=now,
            fired_at=now, updated_at=now, muted_until=muted and muted + timedelta(hours=1),
        )  # fmt: skip
    page = owner.get("/admin/").content.decode()
    assert "<b>digits</b> No model answers. Nobody." in page
    assert "Hm." not in page
    assert 'data-state="stopped" data-testid="application-digits"' in page
    assert "Nobody." not in staff("view_application").get("/admin/").content.decode()


def test_thirty_applications_cost_as_many_queries_as_one(
    owner: Client, v1: ModelVersion, django_assert_num_queries: Callable[..., Any]
) -> None:
    make("first", good=10)
    owner.get("/admin/")  # what is read once a process
    cache.clear()
    with CaptureQueriesContext(connection) as before:
        owner.get("/admin/")
    for number in range(29):
        make(f"app-{number}", good=10)
    cache.clear()
    with django_assert_num_queries(len(before)):
        page = owner.get("/admin/").content.decode()
    assert len(names(page)) == 30


def test_viewers_with_the_same_rights_share_what_is_asked_for_again(
    owner: Client, digits: Application
) -> None:
    cache.clear()
    page, asked = "/admin/applications/digits/?part=now", {"HX-Request": "true"}
    first = owner.get(page, headers=asked).content
    Application.objects.filter(pk=digits.pk).update(policy="static")
    assert owner.get(page, headers=asked).content == first
    assert owner.get(page).content != first
    other = User.objects.create_superuser("other")
    owner.force_login(other)
    assert owner.get(page, headers=asked).content == first
    assert staff("view_application").get(page, headers=asked).content != first
    assert staff(name="nobody").get(page, headers=asked).status_code == 403


def test_people_without_rights_are_told_so(client: Client) -> None:
    assert b"You may not see applications" in staff().get("/admin/").content


def test_a_sparkline_leaves_out_what_is_unknown() -> None:
    assert sparkline([0.0, None, 10.0], line=5.0) == {
        "points": "0.0,23.0 100.0,3.0",
        "line": "13.0",
    }
    assert sparkline([]) == {"points": "", "line": None}
