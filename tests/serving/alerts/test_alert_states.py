"""Alerts are pending, then fire, then are resolved; what is muted says nothing."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.errors import BadRequest
from registry import services
from registry.models import Application, AuditEntry, ModelVersion
from serving.alerts.alert_rules import ApplicationFacts, StackFacts
from serving.alerts.alert_states import firing_by_application, mute, settle
from serving.alerts.channels import create_channel
from serving.alerts.models import Alert, Channel, Message
from tests.serving.alerts.conftest import Wait

FAILED = {"failed": 9}


def look(application: Application, **facts: Any) -> list[str]:
    """Look once; return the alerts that moved."""
    moved = settle([ApplicationFacts(id=application.pk, **facts)])
    return [f"{alert.rule} {alert.state}" for alert in moved]


@pytest.fixture
def channel(db: None, settings: Any) -> Channel:
    settings.EMAIL_HOST = "mail.example.com"
    made, _ = create_channel(
        name="on call", kind="mail", target="ada@example.com", by=services.SYSTEM
    )
    return made


def test_an_alert_is_pending_fires_and_is_resolved(digits: Application, wait: Wait) -> None:
    assert look(digits, unanswered=FAILED) == []
    assert Alert.objects.get().state == "pending"
    wait(3.0)
    assert look(digits, unanswered=FAILED) == ["no_answer firing"]
    assert firing_by_application() == {digits.pk: 1}
    assert look(digits) == []
    wait(10.0)
    assert look(digits) == ["no_answer resolved"]
    assert firing_by_application() == {}


def test_what_passes_before_it_fires_leaves_nothing(digits: Application, wait: Wait) -> None:
    look(digits, unanswered=FAILED)
    wait(1.0)
    assert look(digits) == []
    assert not Alert.objects.exists()


def test_a_gap_shorter_than_its_rule_says_resolves_nothing(digits: Application, wait: Wait) -> None:
    for unanswered in (FAILED, FAILED, {}, FAILED, {}):
        look(digits, unanswered=unanswered)
        wait(6.0)
    assert Alert.objects.get().state == "firing"


def test_where_nobody_looked_nothing_moves(digits: Application, wait: Wait) -> None:
    look(digits, unanswered=FAILED)
    wait(3.0)
    look(digits, unanswered=FAILED)
    wait(3600.0)
    assert settle([StackFacts(free_bytes=1 << 40, reserve_bytes=1)]) == []
    assert Alert.objects.get().state == "firing"


def test_firing_and_ending_are_in_the_timeline(digits: Application, wait: Wait) -> None:
    look(digits, unanswered=FAILED)
    wait(3.0)
    look(digits, unanswered=FAILED)
    look(digits)
    wait(10.0)
    look(digits)
    entries = AuditEntry.objects.filter(kind="alert").order_by("id")
    assert [(e.action, e.application_id, e.name) for e in entries] == [
        ("fire", digits.pk, "No model answers in digits"),
        ("resolve", digits.pk, "No model answers in digits"),
    ]


def test_the_newest_change_is_the_suspect(
    digits: Application, v1: ModelVersion, wait: Wait
) -> None:
    services.update_application(
        application=digits, changes={"description": "new"}, by=services.SYSTEM
    )
    services.deploy(version=v1, by=services.SYSTEM)
    wait(60.0)
    look(digits, unanswered=FAILED)
    wait(3.0)
    look(digits, unanswered=FAILED)
    suspect = Alert.objects.get().suspect
    assert suspect["text"].startswith("deploy of svm:1 by ")
    assert suspect["model"] == v1.model_id
    assert AuditEntry.objects.get(pk=suspect["entry"]).action == "deploy"


def test_a_change_of_long_ago_is_no_suspect(digits: Application, wait: Wait) -> None:
    wait(3600.0)
    look(digits, unanswered=FAILED)
    wait(3.0)
    look(digits, unanswered=FAILED)
    assert Alert.objects.get().suspect == {}


def test_an_outage_inhibits_what_follows_from_it(digits: Application, wait: Wait) -> None:
    from serving.alerts.burn_rates import BadShare

    facts: dict[str, Any] = {"unanswered": FAILED, "within": lambda seconds: BadShare(900, 1000)}
    look(digits, **facts)
    wait(20.0)
    look(digits, **facts)
    assert "fast_burn" not in Alert.objects.values_list("rule", flat=True)


def test_a_muted_alert_sends_nothing_and_does_not_count_even_when_it_comes_back(
    digits: Application, channel: Channel, wait: Wait
) -> None:
    look(digits, unanswered=FAILED)
    wait(3.0)
    look(digits, unanswered=FAILED)
    mute(Alert.objects.get(), until=timezone.now() + timedelta(hours=1), by=services.SYSTEM)
    assert firing_by_application() == {}
    for unanswered in ({}, {}, FAILED, FAILED):
        look(digits, unanswered=unanswered)
        wait(11.0)
    assert [alert.state for alert in Alert.objects.order_by("id")] == ["resolved", "firing"]
    assert firing_by_application() == {}
    assert [event["state"] for event in Message.objects.get().events] == ["firing"]


def test_nobody_mutes_for_ever(digits: Application) -> None:
    look(digits, unanswered=FAILED)
    alert = Alert.objects.get()
    for days in (-1, 91):
        with pytest.raises(BadRequest):
            mute(alert, until=timezone.now() + timedelta(days=days), by=services.SYSTEM)


def test_deleting_an_application_takes_its_alerts_along(digits: Application) -> None:
    look(digits, unanswered=FAILED)
    services.delete_application(application=digits, by=services.SYSTEM)
    assert not Alert.objects.exists()
