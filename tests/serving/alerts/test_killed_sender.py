"""Whatever kills the process that sends alerts, each of them arrives, under one id."""

import multiprocessing
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configured
from standardwebhooks import Webhook

from registry import services
from registry.models import Application
from serving.alerts.channels import create_channel
from serving.alerts.models import Alert, Message
from tests.serving.alerts.killed_sender import drive
from tests.serving.container.remote.stand_in import Said, StandIn, standing_in

KILLS = 20


@pytest.fixture
def receiver(settings: Any) -> Iterator[StandIn]:
    settings.CLIPPER_ALERT_HOSTS = "127.0.0.1"
    with standing_in(lambda asked: Said(204, b"")) as running:
        yield running


@pytest.mark.django_db(transaction=True)
def test_every_alert_arrives_at_least_once_under_one_id(receiver: StandIn) -> None:
    named = [Application(name=f"app-{n}", input_type="doubles") for n in range(KILLS)]
    keys = [each.pk for each in Application.objects.bulk_create(named)]
    _, secret = create_channel(
        name="a webhook", kind="webhook", target=receiver.url(), by=services.SYSTEM
    )
    database = str(configured.DATABASES["default"]["NAME"])
    driver = multiprocessing.get_context("spawn").Process(target=drive, args=(database, keys))
    driver.start()
    driver.join(timeout=300)
    assert driver.exitcode == 0
    assert len(receiver.asked) > Message.objects.count()  # those that weren't noted came again
    ids = defaultdict[int, set[str]](set)
    for asked in receiver.asked:
        for event in Webhook(secret).verify(asked.body, asked.headers)["data"]["alerts"]:
            ids[event["id"]].add(asked.headers["webhook-id"])
    assert ids.keys() == {*Alert.objects.values_list("pk", flat=True)}
    assert Alert.objects.filter(state="firing").count() == KILLS
    assert {len(each) for each in ids.values()} == {1}
    assert {asked.headers["webhook-id"] for asked in receiver.asked} == {
        *Message.objects.values_list("uid", flat=True)
    }
