"""System: processes, workers and stores, and what is left of it without Redis."""

from typing import Any

import pytest
import redis
from django.test import Client

from registry.releases.control import note_round
from serving.cluster.membership.workers import WorkerRecord, announce_worker
from tests.console.people import staff
from tests.redis_server import fresh_redis_client

pytestmark = pytest.mark.django_db


def test_it_shows_what_runs_and_how_the_stores_stand(
    owner: Client, server_redis: redis.Redis
) -> None:
    note_round(server_redis)
    worker = WorkerRecord(id="h-7", host="app1", host_id="h", queue="cpu", slots=4, retiring=True)
    announce_worker(server_redis, worker)
    page = owner.get("/admin/system/").content.decode()
    for text in ("control", "h-7", "cpu, retiring", "0 of 4", "Answers in", "Uploads stop below"):
        assert text in page


def test_it_says_that_redis_is_away(settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    with fresh_redis_client():
        page = staff("view_modelversion", "view_stack").get("/admin/system/").content.decode()
    assert "Redis cannot be reached" in page
    assert "Answers in" in page  # of the database
