"""The timeline: its rows, filters, export, and taking changes back."""

import csv
import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from console.words.events import events_of, marks
from registry import services
from registry.models import Application, AuditEntry, ModelVersion
from registry.services.audit_trail import shown_state
from registry.services.reverting import revert
from tests.registry.conftest import BY

PAGE = "/admin/timeline/"


def shown(client: Client, query: str = "") -> str:
    answer = client.get(query if query.startswith("/") else f"{PAGE}{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def changed(digits: Application, **changes: object) -> AuditEntry:
    services.update_application(application=digits, changes=changes, by=BY)
    return AuditEntry.objects.latest("id")


def test_a_deploy_is_one_row_with_its_end(
    owner: Client, digits: Application, v2: ModelVersion
) -> None:
    release = services.deploy(version=v2, by=BY, reason="retrained")
    services.begin_release(release=release)
    services.complete_release(release=release)
    (event,) = events_of(model=v2.model, rows=AuditEntry.objects.all(), limit=1)
    assert (event.verb, event.subject, event.entry.by) == ("Deployed", str(v2), "a test")
    assert event.outcome[1].startswith("live after")
    page = shown(owner, "?kind=release")
    assert (
        page.count('data-testid="event"')
        == AuditEntry.objects.about("release").filter(cause_id=None).count()
    )
    assert "retrained" in page


def test_a_live_release_is_reverted_by_rolling_back_to_the_version_before(
    owner: Client, v1: ModelVersion, v2: ModelVersion
) -> None:
    for version in (v1, v2):
        release = services.deploy(version=version, by=BY)
        services.begin_release(release=release)
        services.complete_release(release=release)
    model, way_back = v2.model, f"/rollback/?to={v1.pk}"
    page = shown(owner, "?kind=release")
    assert page.count("/rollback/?to=") == page.count(way_back) == 1
    form = shown(owner, f"/admin/registry/model/{model.pk}{way_back}")
    assert f'value="{v1.pk}" checked' in form


def test_the_end_of_a_check_is_an_event_of_its_version(owner: Client, v2: ModelVersion) -> None:
    services.fail_check(check=services.request_check(v2), error="no such file")
    (event,) = events_of(rows=AuditEntry.objects.of(v2), limit=1)
    assert (event.verb, event.subject, event.reasons) == ("Checked", str(v2), ["no such file"])
    assert "failed" in shown(owner, "?kind=check")


def test_a_release_that_fails_says_why_in_the_same_row(owner: Client, v2: ModelVersion) -> None:
    release = services.deploy(version=v2, by=BY)
    services.fail_release(release=release, error="no such file")
    (event,) = events_of(model=v2.model, rows=AuditEntry.objects.all(), limit=1)
    assert (event.outcome[1], event.reasons) == ("failed", ["no such file"])
    assert "no such file" in shown(owner, "?q=SUCH+file")


def test_filters_leave_what_was_asked_for(owner: Client, digits: Application) -> None:
    changed(digits, priority="low")
    services.record_event(action="crash", kind="model version", name="svm:9", reason="signal 11")
    today = timezone.localdate()
    for query, crash, change in (
        ("?kind=crash", True, False),
        ("?by=Clipper", True, False),
        ("?application=digits", False, True),
        ("?q=signal", True, False),
        (f"?since={today}&until={today}", True, True),
        (f"?until={today - timedelta(days=1)}", False, False),
        ("?since=1h", True, True),
    ):
        page = shown(owner, query)
        assert (">svm:9<" in page, "<del>normal</del>" in page) == (crash, change), query
    assert "Expected a time" in shown(owner, "?since=nonsense")
    assert owner.get(f"{PAGE}?application=nosuch").status_code == 404


def test_pages_follow_each_other_by_number(owner: Client) -> None:
    for number in range(60):
        services.record_event(action="crash", kind="model version", name=f"m:{number}")
    first = shown(owner)
    assert first.count('data-testid="event"') == 50
    older = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "m:59<" in first
    assert "m:0<" in shown(owner, older)


def test_it_is_exported(owner: Client, digits: Application) -> None:
    entry = changed(digits, description="=1+1")
    services.record_event(action="crash", kind="model version", name="=cmd()")
    rows = list(csv.DictReader(io.StringIO(owner.get(f"{PAGE}?format=csv").content.decode())))
    assert rows[0]["name"] == "'=cmd()"
    found = owner.get(f"{PAGE}?format=json&application=digits").json()
    assert found[0]["changes"] == entry.changes


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": "low"},
        {"policy": "exp4", "policy_params": {"eta": 0.2}},
        {"default_output": {"a": [1, None]}, "description": "x"},
    ],
)
def test_reverting_restores_the_settings(digits: Application, changes: dict[str, object]) -> None:
    before = shown_state(Application.objects.get(pk=digits.pk))
    entry = changed(digits, **changes)
    revert(entry, by=BY, reason="worse")
    assert shown_state(Application.objects.get(pk=digits.pk)) == before
    assert AuditEntry.objects.latest("id").reason == f"Revert of entry {entry.pk}: worse"


def test_routes_and_the_objective_are_reverted(digits: Application, v1: ModelVersion) -> None:
    wanted = [services.RouteRequest(model=v1.model.name, version=v1.version, weight=1 / 3)]
    services.replace_routes(application=digits, routes=wanted, by=BY)
    for change in (
        lambda: services.replace_routes(application=digits, routes=[], by=BY),
        lambda: services.set_objective(application=digits, by=BY, latency_ms=80.0),
    ):
        before = shown_state(Application.objects.get(pk=digits.pk))
        change()
        revert(AuditEntry.objects.latest("id"), by=BY, reason="worse")
        assert shown_state(Application.objects.get(pk=digits.pk)) == before
    assert digits.routes.get().weight == 1 / 3


def test_a_route_is_shown_with_its_weight(
    owner: Client, digits: Application, v1: ModelVersion
) -> None:
    wanted = [services.RouteRequest(model=v1.model.name, version=v1.version, weight=0.5)]
    services.replace_routes(application=digits, routes=wanted, by=BY)
    page = shown(owner)
    assert f"{v1.model.name}:{v1.version} (weight 0.5)" in page
    assert "(arm, " not in page


def test_only_the_last_change_of_a_field_can_be_reverted(
    owner: Client, digits: Application
) -> None:
    first, second = changed(digits, priority="low"), changed(digits, priority="high")
    page = shown(owner)
    assert f"{PAGE}{first.pk}/revert/" not in page
    assert f"{PAGE}{second.pk}/revert/" in page
    owner.post(f"{PAGE}{first.pk}/revert/", {"reason": "worse"})
    digits.refresh_from_db()
    assert digits.priority == "high"
    answer = owner.post(f"{PAGE}{second.pk}/revert/", {"reason": ""})
    assert answer.status_code == 200
    owner.post(f"{PAGE}{second.pk}/revert/", {"reason": "worse"})
    digits.refresh_from_db()
    assert digits.priority == "low"
    assert AuditEntry.objects.latest("id").by == "owner"


def test_who_may_not_change_it_may_not_revert_it(client: Client, digits: Application) -> None:
    entry = changed(digits, priority="low")
    reader = User.objects.create_user("ida", is_staff=True)
    client.force_login(reader)
    assert client.get(PAGE).status_code == 403
    reader.user_permissions.add(Permission.objects.get(codename="view_auditentry"))
    assert "revert/" not in shown(client)
    assert client.post(f"{PAGE}{entry.pk}/revert/", {"reason": "x"}).status_code == 403


def test_charts_get_marks_of_a_period(digits: Application, v2: ModelVersion) -> None:
    now = timezone.now()
    changed(digits, priority="low")
    services.record_event(
        action="fire", kind="alert", name="burning", application_id=digits.pk, object_id=1
    )
    found = marks(digits, now, timezone.now() + timedelta(seconds=1), rows=AuditEntry.objects.all())
    assert [mark["kind"] for mark in found] == ["alert", "settings"]
    assert found[0]["label"] == "Alert fired: burning"
    before = now - timedelta(days=2), now - timedelta(days=1)
    assert marks(digits, *before, rows=AuditEntry.objects.all()) == []


def test_every_object_has_its_history(owner: Client, digits: Application, v2: ModelVersion) -> None:
    services.configure_version(version=v2, by=BY, replicas=2)
    key, _ = services.create_api_key(name="ci", scopes=["predict"], by=BY)
    release = services.deploy(version=v2, by=BY, reason="retrained")
    for page, text in {
        f"registry/release/{release.pk}": "retrained",
        f"registry/modelversion/{v2.pk}": "replicas",
        f"registry/model/{v2.model_id}": "replicas",
        f"registry/apikey/{key.pk}": "Created API key",
    }.items():
        shown = owner.get(f"/admin/{page}/change/").content.decode()
        assert text in shown.split('data-testid="history"')[1], page
