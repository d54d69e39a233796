"""Snapshots of selection out of what Redis really holds: states, and what web processes publish."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from registry import services
from registry.models import Application, Model
from registry.services import Actor, RouteRequest
from selection.models import SelectionSnapshot
from selection.store.health_alarms import KEY
from selection.store.redis_keys import GLOBAL_CONTEXT, state_key
from serving.cluster.control.selection_snapshots import (
    LOCK,
    health_readings_of,
    snapshot_selection,
)
from serving.engine.outcome import Outcome, Status
from serving.engine.stats import VersionStats
from serving.metrics.exposition import exposition
from serving.metrics.published import INDEX, KEY_PREFIX, Metrics, Reading
from tests.redis_server import fresh_redis_client

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)

pytestmark = pytest.mark.django_db


@pytest.fixture
def digits(settings: Any, tmp_path: Path) -> Application:
    """An application that asks two deployed models."""
    settings.CLIPPER_VAR = tmp_path
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    for name in ("svm", "forest"):
        version = services.create_version(
            model=Model.objects.create(name=name, input_type="doubles"),
            version="1",
            runtime="sklearn",
            artifact=io.BytesIO(name.encode()),
            by=BY,
        )
        release = services.deploy(version=version, by=BY, reason="set up by the test")
        services.begin_release(release=release)
        services.complete_release(release=release)
    return services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50,
        policy="exp4",
        routes=[RouteRequest(model="svm"), RouteRequest(model="forest")],
        by=services.SYSTEM,
    )


def publish(
    client: redis.Redis, *, answered: int, late: int, web: str = "web-1", too_late: int = 0
) -> None:
    metrics = Metrics(process_id=web, pid=1)
    metrics.of_application("digits").labels_too_late = too_late
    for outcome in [Outcome(Status.OK, b"7")] * answered + [None] * late:
        metrics.of_application("digits").count_arms(("svm:1",), [outcome])
    document = metrics.document(at=0.0, now=0.0, rss_bytes=0, versions={})
    client.set(f"{KEY_PREFIX}{web}", json.dumps(document))
    client.zadd(INDEX, {web: float("inf")})


def test_a_snapshot_holds_what_redis_knows(server_redis: redis.Redis, digits: Application) -> None:
    observed: dict[Any, Any] = {"rew:svm:1": struct.pack("<3d", 50.0, 0.0, 0.0), "n:svm:1": 7}
    observed |= {"rew:forest:1": struct.pack("<3d", 50.0, 50.0, 50.0)}
    server_redis.hset(state_key(digits.pk, GLOBAL_CONTEXT), mapping=observed)
    publish(server_redis, answered=3, late=1)

    assert snapshot_selection() == 1

    snapshot = SelectionSnapshot.objects.get()
    assert snapshot.policy == "exp4"
    assert snapshot.arms["forest:1"]["weight"] == pytest.approx(1.0)
    assert snapshot.arms["svm:1"]["feedback"] == 7
    assert snapshot.counts == {"svm:1": [4, 3, 1, 0]}


def test_it_holds_what_happened_since_the_last_one(
    server_redis: redis.Redis, digits: Application
) -> None:
    publish(server_redis, answered=3, late=1)
    snapshot_selection()
    assert snapshot_selection() == 0

    publish(server_redis, answered=5, late=1)
    publish(server_redis, answered=0, late=2, web="web-2")

    assert snapshot_selection() == 1
    assert [row.counts["svm:1"] for row in SelectionSnapshot.objects.all()] == [
        [4, 3, 1, 0],
        [4, 2, 2, 0],
    ]


def test_what_alarms_is_published_for_prometheus(
    server_redis: redis.Redis, digits: Application
) -> None:
    publish(server_redis, answered=1, late=0, too_late=40)
    snapshot_selection()

    published = server_redis.get(KEY)
    assert published is not None
    alarms = msgspec.json.decode(published)
    assert server_redis.ttl(KEY) > 0
    assert {check for check, alarming in alarms["digits"].items() if alarming} == {"delay"}
    lines = exposition([], health=alarms).decode().splitlines()
    metric = "clipper_application_health_alarm"
    assert f'{metric}{{application="digits",check="delay"}} 1.0' in lines
    assert f'{metric}{{application="digits",check="silence"}} 0.0' in lines


def test_it_knows_how_long_calls_to_a_version_took() -> None:
    stats = VersionStats()
    stats.record_batch(waits=[0.001, 0.003], seconds=0.020, model_seconds=0.018)
    metrics = Metrics(process_id="web-1", pid=1)
    read = {"svm:1": Reading(stats, 0, 0), "other:1": Reading(VersionStats(), 0, 0)}
    document = metrics.document(at=0.0, now=0.0, rss_bytes=0, versions=read)

    found = health_readings_of([document], application="digits", arms=["svm:1", "knn:1"])
    assert found == {"web-1": {"svm:1": [2, 4_000, 1, 20_000]}}


def test_it_knows_what_health_checks_count_also_of_processes_that_count_less() -> None:
    metrics = Metrics(process_id="web-1", pid=1)
    digits = metrics.of_application("digits")
    digits.queries, digits.labels_too_late = 3, 1
    digits.compare([b"7", b"8", b"7", b"7"])
    digits.compare([b"7", b"7"])
    document = metrics.document(at=0.0, now=0.0, rss_bytes=0, versions={})
    older = {"id": "web-2", "applications": {"digits": {"queries": 5}}, "versions": {}}

    found = health_readings_of([document, older], application="digits", arms=())

    assert found == {
        "web-1": {"too_late": [1], "queries": [3], "compared": [4, 1]},
        "web-2": {"too_late": [0], "queries": [5], "compared": [0, 0]},
    }


def test_two_never_take_them_at_once(server_redis: redis.Redis, digits: Application) -> None:
    with server_redis.lock(LOCK, timeout=60):
        assert snapshot_selection() == 0

    assert snapshot_selection() == 1


def test_without_redis_none_are_taken(settings: Any, digits: Application) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    with fresh_redis_client():
        assert snapshot_selection() == 0
