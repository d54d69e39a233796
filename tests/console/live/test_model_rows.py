"""Rows of models: what all web processes say of a version, and what that calls for."""

from typing import Any

import pytest
import redis

from console.live.model_load import ModelLoad, load_of
from console.live.model_rows import model_rows, read_sources, standing
from registry.following.reading import build_snapshot
from registry.models import Model, ModelVersion
from registry.releases.restarts import Restarts
from serving.metrics.published import VERSION_COUNTERS
from tests.redis_server import fresh_redis_client


def document(
    *, waiting: int = 0, in_flight: int = 0, seconds: float = 10.0, **recent: Any
) -> dict[str, Any]:
    counts = dict.fromkeys((*VERSION_COUNTERS, "sent", "batches"), 0)
    quantiles = {"queue_p99_ms": None, "model_p99_ms": None}
    version = {
        "waiting": waiting,
        "in_flight": in_flight,
        "recent": {"seconds": seconds, **counts, **quantiles, **recent},
    }
    return {"versions": {"svm:1": version}}


def load(*documents: dict[str, Any]) -> ModelLoad:
    found = load_of("svm:1", documents=documents)
    assert found is not None
    return found


def test_what_several_web_processes_ask_of_a_version_adds_up() -> None:
    one = document(
        waiting=3, in_flight=8, hits=100, misses=80, joined=20, sent=60, batches=6,
        overloaded=15, expired=5, queue_p99_ms=4.0, model_p99_ms=9.0,
    )  # fmt: skip
    two = document(
        waiting=1, in_flight=2, misses=200, sent=200, batches=20, saturated=10, failed=4, lost=1,
        quarantined=3, refused=6,
        queue_p99_ms=30.0, model_p99_ms=7.0,
    )  # fmt: skip

    assert load(one, two) == ModelLoad(
        waiting=4,
        in_flight=10,
        rate=40.0,
        refused_rate=3.0,
        failed_rate=0.8,
        invalid_rate=0.6,
        hit_ratio=0.25,
        batch_size=10.0,
        model_p99_ms=9.0,
    )


@pytest.mark.parametrize(
    ("recent", "ready", "state", "words"),
    [
        ({"misses": 1000}, 2, "good", "Keeping up"),
        ({}, 2, "good", "Idle"),
        ({"misses": 1000}, 1, "late", "Fewer replicas than wanted"),
        ({"misses": 1000, "expired": 3}, 2, "good", "Keeping up"),
        ({"misses": 1000, "expired": 20}, 2, "late", "Refuses 2.0 queries/s"),
        (
            {"misses": 4000, "overloaded": 1100, "saturated": 100},
            2,
            "overloaded",
            "Overloaded: refuses 120 queries/s",
        ),
        ({"misses": 1000, "failed": 20}, 2, "late", "2.0 queries/s fail"),
        ({"misses": 1000, "failed": 190, "lost": 10}, 2, "failing", "Failing: 20 queries/s fail"),
        ({}, 0, "stopped", "No replica is ready"),
        (
            {"misses": 300, "expired": 300},
            0,
            "stopped",
            "No replica is ready: refuses 30 queries/s",
        ),
        ({"misses": 1000, "refused": 30}, 2, "late", "Finds 3.0 inputs/s invalid"),
        ({"misses": 1000, "refused": 990}, 2, "failing", "Finds 99 inputs/s invalid"),
    ],
)
def test_a_model_stands_as_its_queries_and_replicas_say(
    recent: dict[str, int], ready: int, state: str, words: str
) -> None:
    assert standing(load(document(**recent)), wanted=2, ready=ready) == (state, words)


@pytest.mark.parametrize(("recent", "state"), [(2, "good"), (3, "failing")])
def test_a_model_whose_replicas_end_again_and_again_is_failing(recent: int, state: str) -> None:
    busy = load(document(misses=100, sent=100, batches=10))
    restarts = Restarts(by_host={"app1": 9}, last=(), recent=recent)
    assert standing(busy, wanted=1, ready=1, restarts=restarts)[0] == state


def test_a_model_that_some_web_process_cannot_reach_does_not_keep_up() -> None:
    busy = load(document(misses=100, sent=100, batches=10))
    assert standing(busy, wanted=2, ready=2) == ("good", "Keeping up")
    assert standing(busy, wanted=2, ready=2, unreached=1) == (
        "late",
        "1 of 2 not reached by every web process",
    )
    assert standing(busy, wanted=2, ready=2, unreached=2) == (
        "stopped",
        "Not reached by every web process",
    )


# What rows say of the registry and of Redis.


@pytest.fixture
def live_version(server_redis: redis.Redis, transactional_db: None) -> ModelVersion:
    """The live version of svm, with two replicas wanted."""
    model = Model.objects.create(name="svm", input_type="doubles")
    version = ModelVersion.objects.create(
        model=model, version="1", runtime="sklearn", digest="0" * 64, replicas=2
    )
    Model.objects.update(live_version=version)
    return version


def the_model() -> dict[str, Any]:
    model: dict[str, Any]
    snapshot = build_snapshot()
    (model,) = model_rows(snapshot, sources=read_sources(snapshot))
    return model


def test_without_redis_nothing_is_known_and_nobody_is_alarmed(
    live_version: ModelVersion, settings: Any
) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    with fresh_redis_client():
        assert "Redis cannot be reached" in read_sources(build_snapshot()).problem
        model = the_model()
    words = (model["text"]["state"], model["text"]["ready"])
    assert (model["state"], *words) == ("silent", "Unknown", "—")
