"""Changes between two readings of /metrics."""

import pytest

from benchmarks.loads import QUERIES, Change, Samples, parse_metrics
from serving.engine.stats import VersionStats
from serving.metrics.exposition import exposition
from serving.metrics.published import ApplicationStats, Metrics, Reading


def reading(
    *, sizes: list[int], queries: int = 0, defaults: int = 0, hits: int = 0, misses: int = 0
) -> Samples:
    """Return the samples that Clipper itself would publish after these events."""
    metrics = Metrics(process_id="web-1", pid=1)
    stats = ApplicationStats(queries=queries, defaults=defaults)
    metrics.applications["digits"] = stats
    version = VersionStats(hits=hits, misses=misses or sum(sizes))
    for size in sizes:
        version.record_batch(waits=[0.001] * size, seconds=0.004, model_seconds=0.002)
    versions = {"svm:1": Reading(stats=version, waiting=0, in_flight=0)}
    document = metrics.document(at=0.0, now=0.0, rss_bytes=1, versions=versions)
    return parse_metrics(exposition([document, {**document, "id": "web-2"}]).decode())


def test_samples_are_summed_over_the_web_processes():
    assert reading(sizes=[], queries=7)[QUERIES, "digits", ""] == 14


def test_ratios_look_only_at_what_is_new():
    change = Change(
        before=reading(sizes=[], queries=100, defaults=100, hits=50, misses=0),
        after=reading(sizes=[], queries=200, defaults=110, hits=80, misses=70),
    )
    assert change.ratios()["defaults"] == pytest.approx(0.1)
    assert change.ratios()["hits"] == pytest.approx(0.3)


def test_an_observation_is_told_by_the_bound_of_its_bucket():
    change = Change(before=reading(sizes=[1]), after=reading(sizes=[1, 1, 20]))
    seen = change.observed("clipper_version_model_seconds")
    # Each of two processes had two more batches, which took 2 ms.
    assert seen == pytest.approx([0.00694] * 4, rel=1e-3)
