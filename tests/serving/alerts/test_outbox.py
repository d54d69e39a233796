"""Messages: grouped, sent at least once under one id, signed, and given up at last."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from standardwebhooks import Webhook

from registry import services
from registry.models import Application
from serving.alerts import outbox
from serving.alerts.alert_rules import ApplicationFacts
from serving.alerts.alert_states import settle
from serving.alerts.channels import create_channel
from serving.alerts.models import Alert, Channel, Message
from serving.alerts.outbox import queue_messages, queue_test, send_due
from tests.serving.alerts.conftest import Wait, moment
from tests.serving.container.remote.stand_in import Said, StandIn, standing_in


@pytest.fixture
def receiver(settings: Any) -> Iterator[StandIn]:
    settings.CLIPPER_ALERT_HOSTS = "127.0.0.1"
    settings.EMAIL_HOST = "mail.example.com"
    with standing_in(lambda asked: Said()) as running:
        yield running


def channel(kind: str, target: str) -> tuple[Channel, str]:
    return create_channel(name=f"a {kind}", kind=kind, target=target, by=services.SYSTEM)


def fire(application: Application, *, number: int = 1) -> None:
    """Have so many alerts fire at once."""
    now = moment()
    for _ in range(number):
        place = str(Alert.objects.count())
        alert = Alert(application=application, rule="disk", subject=place, state="firing")
        alert.sentence, alert.since, alert.updated_at = "It is full." * 20, now, now
        alert.save()
        queue_messages([alert], now=now)


@pytest.mark.django_db
def test_a_hundred_alerts_within_thirty_seconds_are_one_message(
    digits: Application, receiver: StandIn, wait: Wait
) -> None:
    channel("webhook", receiver.url())
    for place in range(100):
        now = moment()
        alert = Alert(application=digits, rule="disk", subject=str(place), state="firing")
        alert.since = alert.updated_at = now
        alert.save()
        queue_messages([alert], now=now)
        wait(0.3)
        send_due()
    wait(3.0)
    assert send_due() == 1
    data = receiver.asked[0].json["data"]
    assert len(data["alerts"]) + data["more"] == 100
    assert len(receiver.asked[0].body) <= 20_000


@pytest.mark.django_db
def test_a_lone_alert_is_told_within_five_seconds(
    digits: Application, receiver: StandIn, wait: Wait
) -> None:
    channel("chat", receiver.url("/services/T0/secret"))
    settle([ApplicationFacts(id=digits.pk, unanswered={"failed": 7})])
    wait(3.0)
    settle([ApplicationFacts(id=digits.pk, unanswered={"failed": 9})])
    assert send_due() == 0
    wait(4.0)
    assert send_due() == 1
    (asked,) = receiver.asked
    assert asked.path == "/services/T0/secret"
    assert asked.json["text"].startswith("[firing] digits: No model answers\n")
    assert set(asked.json) == {"text"}


@pytest.mark.django_db
def test_a_signed_webhook_verifies_and_keeps_its_id_when_it_is_sent_again(
    digits: Application, receiver: StandIn, wait: Wait
) -> None:
    receiver.answering = lambda asked: Said(500)
    _, secret = channel("webhook", receiver.url())
    fire(digits)
    wait(4.0)
    assert send_due() == 0
    receiver.answering = lambda asked: Said(204, b"")
    assert send_due() == 0  # not yet
    wait(30.0)
    assert send_due() == 1
    first, second = receiver.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    for asked in (first, second):
        found = Webhook(secret).verify(asked.body, asked.headers)
        assert found["data"]["alerts"][0]["application"] == "digits"


@pytest.mark.django_db
def test_a_try_that_died_is_made_again(digits: Application, receiver: StandIn, wait: Wait) -> None:
    channel("chat", receiver.url())
    fire(digits)
    wait(4.0)
    message = Message.objects.get()
    assert outbox._claim(message, now=moment())  # noqa: SLF001  (and the process dies)
    assert send_due() == 0
    wait(30.0)
    assert send_due() == 1


@pytest.mark.django_db
def test_a_receiver_that_is_gone_gets_nothing_more(
    digits: Application, receiver: StandIn, wait: Wait
) -> None:
    receiver.answering = lambda asked: Said(410)
    made, _ = channel("chat", receiver.url())
    fire(digits)
    wait(4.0)
    send_due()
    made.refresh_from_db()
    assert not made.enabled
    assert "410" in made.problem
    fire(digits, number=2)
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_redirects_are_not_followed(digits: Application, receiver: StandIn, wait: Wait) -> None:
    receiver.answering = lambda asked: Said(302, b"", (("Location", receiver.url("/inside")),))
    channel("chat", receiver.url())
    fire(digits)
    wait(4.0)
    assert send_due() == 0
    assert [asked.path for asked in receiver.asked] == ["/"]
    assert "redirect" in Message.objects.get().error


@pytest.mark.django_db
def test_tries_come_ever_further_apart_and_end(
    digits: Application, receiver: StandIn, wait: Wait
) -> None:
    receiver.answering = lambda asked: Said(500)
    channel("chat", receiver.url())
    fire(digits)
    wait(4.0)
    waits = []
    while (message := Message.objects.get()).state == "waiting":
        send_due()
        message.refresh_from_db()
        waits.append((message.due_at - moment()).total_seconds())
        wait(waits[-1])
    assert waits[:3] == [20.0, 300.0, 1800.0]
    assert waits == sorted(waits)
    assert (message.state, message.attempts) == ("failed", 10)


@pytest.mark.django_db
def test_mail_names_what_fires(digits: Application, receiver: StandIn, wait: Wait) -> None:
    channel("mail", "ada@example.com, bob@example.com")
    fire(digits, number=2)
    wait(4.0)
    assert send_due() == 1
    (sent,) = mail.outbox
    assert sent.subject == "Clipper: [firing] digits: Disk nearly full and 1 more"
    assert sent.to == ["ada@example.com", "bob@example.com"]


@pytest.mark.django_db
def test_a_test_is_sent_at_once_and_tried_once(receiver: StandIn, wait: Wait) -> None:
    receiver.answering = lambda asked: Said(500)
    made, _ = channel("webhook", receiver.url())
    queue_test(made, by=services.SYSTEM)
    assert send_due() == 0
    assert Message.objects.get().state == "failed"
    assert json.loads(receiver.asked[0].body)["type"] == "test"


@pytest.mark.django_db
def test_old_messages_and_alerts_are_forgotten(digits: Application, wait: Wait) -> None:
    fire(digits)
    Alert.objects.update(state="resolved", resolved_at=moment())
    wait(91 * 86_400.0)
    outbox.forget_old()
    assert not Alert.objects.exists()
