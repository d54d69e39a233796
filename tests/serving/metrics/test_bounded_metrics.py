"""Metrics for Prometheus: small, however much is counted, with a count of those left out."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.engine.stats import LATENCY_BOUNDS, VersionStats, quantile
from serving.metrics.bounds import (
    MOST_APPLICATIONS,
    MOST_ARMS,
    MOST_VERSIONS,
)
from serving.metrics.event_loop import LoopWatch
from serving.metrics.exposition import exposition
from serving.metrics.published import Metrics, Reading

Samples = Mapping[tuple[str, str], float]
# What one more asked version, application or arm may add.
VERSION_BYTES, APPLICATION_BYTES, ARM_BYTES = 3_500, 4_100, 550


def document(
    *, versions: Mapping[str, VersionStats] | None = None, applications: int = 0, arms: int = 0
) -> dict[str, Any]:
    """Return the document of a process; each application has one query more than the one before."""
    metrics = Metrics(process_id="48213-a1b2c3", pid=1)
    for number in range(applications):
        stats = metrics.of_application(f"application-{number}")
        for _ in range(number + 1):
            stats.record((), seconds=0.01, slo_ms=50.0)
        for arm in range(arms):
            stats.endings[f"model-{arm}:1"] = [1 + number + arm, *[0] * 20]
    readings = {arm: Reading(stats, 0, 0) for arm, stats in (versions or {}).items()}
    told = metrics.document(at=0.0, now=0.0, rss_bytes=1, versions=readings)
    return told | {"loop": LoopWatch().published()}


def asked(count: int = 100) -> VersionStats:
    stats, chance = VersionStats(misses=count), random.Random(1)
    for _ in range(count):
        seconds = chance.lognormvariate(-4.5, 1.0)
        stats.record_batch(waits=[seconds], seconds=2 * seconds, model_seconds=seconds)
    return stats


def size(told: dict[str, Any]) -> int:
    return len(exposition([told]))


def shown(told: dict[str, Any], label: str) -> dict[str, set[str]]:
    """Return the values of this label by metric."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition([told]).decode()):
        for sample in family.samples:
            if label in sample.labels:
                found.setdefault(sample.name, set()).add(sample.labels[label])
    return found


def left_out(told: dict[str, Any]) -> dict[str, float]:
    for family in text_string_to_metric_families(exposition([told]).decode()):
        if family.name == "clipper_metrics_left_out":
            return {sample.labels["kind"]: sample.value for sample in family.samples}
    raise AssertionError("nothing says what is left out")


def test_a_version_that_is_asked_adds_little() -> None:
    alone = size(document(versions={"model-10:1": asked()}))
    many = size(document(versions={f"model-{number}:1": asked() for number in range(10, 35)}))
    assert 0 < (many - alone) / 24 < VERSION_BYTES
    assert many < 104_000


def test_so_does_an_application_and_an_arm() -> None:
    none, some = size(document()), size(document(applications=10))
    assert 0 < (some - none) / 10 < APPLICATION_BYTES
    arms = size(document(applications=10, arms=10)) - some
    assert 0 < arms / 100 < ARM_BYTES


def test_a_version_that_nobody_has_asked_adds_nothing() -> None:
    idle = {f"idle-{number}:1": VersionStats() for number in range(25)}
    assert size(document(versions=idle)) == size(document())
    assert shown(document(versions={**idle, "svm:1": asked(1)}), "version") == {
        name: {"svm:1"} for name in shown(document(versions={"svm:1": asked(1)}), "version")
    }


def test_of_too_many_those_are_shown_that_are_asked_most() -> None:
    more = 30
    versions = {f"v-{number:04}:1": asked(number + 1) for number in range(MOST_VERSIONS + more)}
    told = document(versions=versions, applications=MOST_APPLICATIONS + more, arms=6)
    kept = shown(told, "version")["clipper_version_hits_total"]
    assert kept == {f"v-{number:04}:1" for number in range(more, MOST_VERSIONS + more)}
    names = shown(told, "application")["clipper_application_queries_total"]
    assert names == {f"application-{n}" for n in range(more, MOST_APPLICATIONS + more)}
    assert left_out(told) == {
        "applications": more,
        "versions": more,
        "arms": 6 * (MOST_APPLICATIONS + more) - MOST_ARMS,
    }


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_a_quantile_of_what_is_shown_is_near_that_of_what_is_counted(q: float) -> None:
    counted = asked(5_000)
    exact = quantile(counted.queue_seconds.counts, bounds=LATENCY_BOUNDS, q=q)
    bounds, counts = [], []
    before = 0.0
    for family in text_string_to_metric_families(
        exposition([document(versions={"svm:1": counted})]).decode()
    ):
        for sample in family.samples:
            if sample.name == "clipper_version_queue_seconds_bucket":
                bounds.append(float(sample.labels["le"]))
                counts.append(int(sample.value - before))
                before = sample.value
    near = quantile(counts, bounds=tuple(bounds[:-1]), q=q)
    assert exact is not None
    assert near is not None
    assert exact / 3.82 <= near <= exact * 3.82
