"""The page of alerts: what fires, its suspect and its buttons; muting; channels with a test."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry import services
from registry.models import Application, ModelVersion
from serving.alerts.alert_states import firing_by_application
from serving.alerts.models import Alert, Channel, Message


@pytest.fixture
def alert(digits: Application, v1: ModelVersion) -> Alert:
    now = timezone.now()
    return Alert.objects.create(
        application=digits,
        rule="version_failing",
        subject="svm:1",
        state="firing",
        sentence="9 of its last 10 calls failed.",
        links={"model": v1.model_id, "version": v1.pk},
        suspect={"text": "deploy version svm:1 by olga", "model": v1.model_id},
        since=now,
        fired_at=now,
        updated_at=now,
    )


def page(client: Client, query: str = "") -> str:
    return client.get(f"/admin/alerts/{query}").content.decode()


def test_an_alert_says_what_since_when_by_which_change_and_what_to_do(
    owner: Client, alert: Alert, v1: ModelVersion
) -> None:
    html = page(owner)
    for text in ("Version failing", "9 of its last 10 calls failed.", "deploy version svm:1"):
        assert text in html
    assert f'href="/admin/versions/{v1.pk}/errors/"' in html
    assert f'href="/admin/registry/model/{v1.model_id}/rollback/"' in html


def test_a_page_of_one_application_has_its_alerts_alone(owner: Client, alert: Alert) -> None:
    assert "9 of its last" in page(owner, "?application=digits")
    assert "9 of its last" not in page(owner, "?application=letters")


def test_where_nothing_fires_the_page_says_so(owner: Client) -> None:
    assert "Nothing fires" in page(owner)


@pytest.mark.parametrize("form", [{"hours": "1"}, {"until": "2999-01-01T00:00"}, {"until": "x"}])
def test_an_alert_is_muted_within_bounds(owner: Client, alert: Alert, form: Any) -> None:
    owner.post(f"/admin/alerts/{alert.pk}/mute/", form)
    muted = "hours" in form
    assert len(firing_by_application()) == (0 if muted else 1)
    if muted:
        assert "muted until" in page(owner)
        owner.post(f"/admin/alerts/{alert.pk}/mute/")
        assert len(firing_by_application()) == 1


def test_a_past_alert_tells_how_long_it_lasted(owner: Client, alert: Alert) -> None:
    alert.state, alert.resolved_at = "resolved", alert.since + timedelta(minutes=12)
    alert.save()
    assert "for 12 min" in page(owner)


def test_people_without_the_permission_see_and_mute_nothing(client: Client, alert: Alert) -> None:
    user = User.objects.create_user("ida", is_staff=True)
    client.force_login(user)
    assert client.get("/admin/alerts/").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_alert"))
    assert client.get("/admin/alerts/").status_code == 200
    assert client.post(f"/admin/alerts/{alert.pk}/mute/", {"hours": "1"}).status_code == 403


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.admin.channel_admin.TEST_WAIT_S", 0.0)


@pytest.mark.usefixtures("_impatient")
def test_a_new_channel_shows_its_secret_once_and_is_sent_a_test(owner: Client) -> None:
    form = {"name": "ops", "kind": "webhook", "goes_to": "https://8.8.8.8/hooks/T0confidential"}
    answer = owner.post("/admin/alerts/channel/add/", form, follow=True)
    html = answer.content.decode()
    assert "whsec_" in html
    assert "T0confidential" not in html
    assert Message.objects.get().is_test
    channel = Channel.objects.get()
    assert "whsec_" not in owner.get(f"/admin/alerts/channel/{channel.pk}/change/").content.decode()
    owner.get(f"/admin/alerts/channel/{channel.pk}/test/")
    assert Message.objects.count() == 1
    owner.post(f"/admin/alerts/channel/{channel.pk}/test/")
    assert Message.objects.count() == 2
    assert "https://8.8.8.8/…" in page(owner)
    assert f'action="/admin/alerts/channel/{channel.pk}/test/"' in page(owner)


@pytest.mark.usefixtures("_impatient")
def test_a_channel_that_leads_inside_is_refused_where_it_was_typed(owner: Client) -> None:
    form = {"name": "ops", "kind": "chat", "goes_to": "http://169.254.169.254/"}
    answer = owner.post("/admin/alerts/channel/add/", form, follow=True)
    html = answer.content.decode()
    assert "no public address" in html
    assert 'value="http://169.254.169.254/"' in html
    assert not Channel.objects.exists()


def test_every_page_counts_what_fires_in_its_menu_and_header(owner: Client, alert: Alert) -> None:
    cache.clear()
    html = owner.get("/admin/timeline/").content.decode()
    assert 'data-testid="firing-count">1 firing<' in html
    assert 'aria-label="Alerts: 1 firing"' in html
    with CaptureQueriesContext(connection) as found:
        owner.get("/admin/timeline/")
    assert not [each for each in found.captured_queries if "alerts_alert" in each["sql"]]
    cache.clear()
    Alert.objects.all().delete()
    html = owner.get("/admin/timeline/").content.decode()
    assert "firing-count" not in html
    assert 'aria-label="Alerts: none firing"' in html


def test_the_count_leaves_out_what_fires_in_applications_that_a_person_does_not_see(
    alert: Alert, digits: Application
) -> None:
    cache.clear()
    others = services.create_application(
        name="others", input_type="doubles", slo_ms=50, by=services.SYSTEM
    )
    for where, counted in ((digits, True), (others, False)):
        person = services.add_person(
            name=f"of-{where}", role="viewer", applications=[where], by=services.SYSTEM
        )
        client = Client()
        client.force_login(person)
        html = client.get("/admin/timeline/").content.decode()
        assert ("firing-count" in html) is counted
