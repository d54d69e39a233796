"""Web processes count, publish their numbers, and any process reads those of all that live."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from serving.engine.outcome import (
    EXPIRED,
    NOT_CONNECTED,
    OVERLOADED,
    REPLICA_LOST,
    SATURATED,
    Outcome,
    Status,
)
from serving.engine.stats import (
    BATCH_BOUNDS,
    VersionStats,
    quantile,
)
from serving.metrics.exposition import exposition
from serving.metrics.published import (
    ARM_COUNTERS,
    INDEX,
    Metrics,
    Reading,
    publish,
    read_published,
    read_published_async,
)


def document(web: str) -> dict[str, Any]:
    return {"id": web, "applications": {}, "versions": {}}


@pytest.fixture
async def client(redis_socket: str) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=redis_socket) as client:
        await client.flushall()
        yield client


async def test_what_is_published_is_read_with_and_without_blocking(
    client: Redis, redis_socket: str
) -> None:
    assert await read_published_async(client) == []
    await publish(client, document("b"))
    await publish(client, document("a"))

    assert await read_published_async(client) == [document("a"), document("b")]
    with redis.Redis(unix_socket_path=redis_socket) as blocking:
        assert read_published(blocking) == [document("a"), document("b")]


async def test_reading_never_searches_the_whole_of_redis(client: Redis, redis_socket: str) -> None:
    await publish(client, document("a"))
    await client.config_resetstat()

    await read_published_async(client)
    with redis.Redis(unix_socket_path=redis_socket) as blocking:
        read_published(blocking)

    commands = await client.info("commandstats")
    assert {"cmdstat_scan", "cmdstat_keys"}.isdisjoint(commands)
    assert commands["cmdstat_mget"]["calls"] == 2


async def test_publishing_forgets_the_processes_that_are_long_gone(client: Redis) -> None:
    await client.zadd(INDEX, {"gone": 0})
    await publish(client, document("a"))

    assert await client.zrange(INDEX, 0, -1) == [b"a"]


# What is counted, published and scraped.


def counted() -> dict[str, Any]:
    """The document of a process that has answered a batch of three, and refused two queries."""
    metrics = Metrics(process_id="a", pid=42)
    stats = VersionStats(hits=5, overloaded=2, ejected=1)
    stats.record_batch(waits=[0.001, 0.002, 0.003], seconds=0.020, model_seconds=0.018)
    metrics.of_application("digits").record((), seconds=0.025, slo_ms=20.0)
    return metrics.document(
        at=1e9, now=5.0, rss_bytes=1 << 20, versions={"m:1": Reading(stats, 7, 3)}
    )


def samples(*documents: dict[str, Any]) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(exposition(documents).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_refusals_are_scraped_by_their_reason_and_one_process_may_know_of_none() -> None:
    metrics = Metrics(process_id="b", pid=43)
    metrics.refusals["request_timeout"] += 2
    told = metrics.document(at=1e9, now=5.0, rss_bytes=1, versions={})
    older = {name: value for name, value in counted().items() if name != "refusals"}
    found = samples(told, older)["clipper_web_refusals_total"]
    assert found == [({"process": "b", "reason": "request_timeout"}, 2.0)]


def test_prometheus_reads_counters_gauges_and_histograms() -> None:
    found = samples(counted())
    labels = {"process": "a", "version": "m:1"}
    assert found["clipper_version_overloaded_total"] == [(labels, 2.0)]
    assert found["clipper_version_waiting"] == [(labels, 7.0)]
    assert found["clipper_version_in_flight"] == [(labels, 3.0)]
    assert found["clipper_version_queue_seconds_count"] == [(labels, 3.0)]
    assert found["clipper_version_batch_size_sum"] == [(labels, 3.0)]
    assert found["clipper_version_model_seconds_sum"] == [(labels, 0.018)]
    assert found["clipper_web_resident_bytes"] == [({"process": "a"}, float(1 << 20))]


def test_buckets_are_cumulative_and_end_with_all() -> None:
    buckets = samples(counted())["clipper_version_queue_seconds_bucket"]
    values = [value for _, value in buckets]
    assert values == sorted(values)
    assert buckets[-1][0]["le"] == "+Inf"
    assert values[-1] == 3.0
    # Three have waited for 1, 2 and 3 ms.
    within = {float(labels["le"]): value for labels, value in buckets}
    assert [within[bound] for bound in sorted(within)][:2] == [1.0, 3.0]


def test_an_answer_after_the_objective_is_counted_as_late() -> None:
    application = counted()["applications"]["digits"]
    assert (application["queries"], application["late"], application["defaults"]) == (1, 1, 0)


def test_rates_and_quantiles_look_back_a_few_publications() -> None:
    metrics = Metrics(process_id="a", pid=1)

    def publish_at(now: float, *, seconds: float) -> dict[str, Any]:
        for _ in range(100):
            metrics.of_application("digits").record((), seconds=seconds, slo_ms=50.0)
        document = metrics.document(at=0.0, now=now, rss_bytes=0, versions={})
        return document["applications"]["digits"]

    publish_at(0.0, seconds=1.0)
    for now in range(1, 12):
        recent = publish_at(float(now), seconds=0.010)
    assert recent["rate"] == pytest.approx(100.0)
    assert recent["p99_ms"] == pytest.approx(10.0, rel=0.25)


def test_a_version_that_comes_back_counts_anew() -> None:
    metrics = Metrics(process_id="a", pid=1)
    before = Reading(VersionStats(misses=100), 0, 0)
    metrics.document(at=0.0, now=0.0, rss_bytes=0, versions={"m:1": before})
    metrics.document(at=0.0, now=1.0, rss_bytes=0, versions={})

    again = Reading(VersionStats(misses=1), 0, 0)
    document = metrics.document(at=0.0, now=2.0, rss_bytes=0, versions={"m:1": again})

    assert document["versions"]["m:1"]["recent"]["misses"] == 0


def test_an_application_that_is_gone_is_forgotten() -> None:
    metrics = Metrics(process_id="a", pid=1)
    metrics.of_application("gone")
    metrics.of_application("stays")
    metrics.forget(arms_of={"stays": ()}.get)
    assert metrics.applications.keys() == {"stays"}


# How the calls to each arm ended.


def arms_counted(*outcomes: Outcome | None) -> dict[str, Any]:
    """Return a process's document on digits after these outcomes of its arm m:1."""
    metrics = Metrics(process_id="a", pid=1)
    for outcome in outcomes:
        metrics.of_application("digits").count_arms(("m:1",), [outcome])
    return metrics.document(at=0.0, now=0.0, rss_bytes=0, versions={})


@pytest.mark.parametrize(
    ("outcome", "counter"),
    [
        (Outcome(Status.OK, b"7"), "answered"),
        (None, "late"),
        (EXPIRED, "late"),
        (OVERLOADED, "late"),
        (SATURATED, "late"),
        (Outcome(Status.MODEL_FAILED, b"division by zero"), "failed"),
        (REPLICA_LOST, "failed"),
        (NOT_CONNECTED, "failed"),
        (Outcome(Status.INVALID_INPUT, b"expected 64 numbers"), "refused"),
    ],
)
def test_a_call_to_an_arm_is_counted_by_how_it_ended(outcome: Outcome | None, counter: str) -> None:
    arms = arms_counted(outcome)["applications"]["digits"]["arms"]
    expected = dict.fromkeys(ARM_COUNTERS, 0) | {"asked": 1}
    assert arms == {"m:1": expected | {counter: 1}}


def test_an_arm_that_an_application_no_longer_asks_is_forgotten() -> None:
    metrics = Metrics(process_id="a", pid=1)
    metrics.of_application("digits").count_arms(("m:1", "m:2"), [None, None])
    metrics.forget(["digits", "never asked"], arms_of={"digits": {"m:2"}}.get)
    assert metrics.of_application("digits").arms().keys() == {"m:2"}


def test_a_quantile_lies_within_the_bucket_that_holds_it() -> None:
    counts = [0] * (len(BATCH_BOUNDS) + 1)
    counts[3], counts[4] = 90, 10  # up to 8, up to 16
    middle, high = (quantile(counts, bounds=BATCH_BOUNDS, q=q) for q in (0.5, 0.99))
    assert middle is not None
    assert 4.0 <= middle <= 8.0
    assert high is not None
    assert 8.0 <= high <= 16.0
    assert quantile([0, 0], bounds=(1.0,), q=0.5) is None
    assert quantile([0, 4], bounds=(1.0,), q=0.5) == 1.0
