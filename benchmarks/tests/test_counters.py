"""What changed between two readings of /metrics."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.counters import Change, parse_metrics
from serving.engine.stats import VersionStats
from serving.metrics.published import ApplicationStats, Metrics, Reading, exposition


def reading(
    *, sizes: list[int], queries: int = 0, defaults: int = 0, hits: int = 0, misses: int = 0
) -> dict[Any, float]:
    """What Clipper itself would publish after these events."""
    metrics = Metrics(process_id="web-1", pid=1)
    stats = ApplicationStats(queries=queries, defaults=defaults)
    metrics.applications["digits"] = stats
    version = VersionStats(hits=hits, misses=misses)
    for size in sizes:
        version.record_batch(waits=[0.001] * size, seconds=0.004, model_seconds=0.002)
    versions = {"svm:1": Reading(stats=version, waiting=0, in_flight=0)}
    document = metrics.document(at=0.0, now=0.0, rss_bytes=1, versions=versions)
    return parse_metrics(exposition([document, {**document, "id": "web-2"}]).decode())


def test_samples_are_summed_over_the_web_processes() -> None:
    samples = reading(sizes=[], queries=7)
    assert samples["clipper_application_queries_total", "digits", ""] == 14


def test_ratios_look_only_at_what_is_new() -> None:
    change = Change(
        before=reading(sizes=[], queries=100, defaults=100, hits=50, misses=0),
        after=reading(sizes=[], queries=200, defaults=110, hits=80, misses=70),
    )
    assert change.default_ratio("digits") == pytest.approx(0.1)
    assert change.hit_ratio == pytest.approx(0.3)


def test_ratios_of_nothing_are_zero() -> None:
    same = reading(sizes=[1], queries=5)
    change = Change(before=same, after=same)
    assert change.default_ratio("digits") == change.hit_ratio == change.mean_batch == 0.0
    assert change.batches() == {}


def test_the_distribution_of_batches_is_the_difference_of_two_histograms() -> None:
    change = Change(before=reading(sizes=[1, 1, 30]), after=reading(sizes=[1, 1, 30, 1, 20, 32]))
    assert change.batches(of="svm:1") == {1.0: 2, 32.0: 4}
    assert change.mean_batch == pytest.approx((1 + 20 + 32) / 3)
    assert change.mean_batch_ms == pytest.approx(4.0)
    assert change.mean_model_ms == pytest.approx(2.0)


def test_a_version_that_is_new_counts_from_zero() -> None:
    change = Change(before={}, after=reading(sizes=[2]))
    assert change.versions() == ["svm:1"]
    assert change.batches() == {2.0: 2}


def test_an_observation_is_told_by_the_bound_of_its_bucket() -> None:
    change = Change(before=reading(sizes=[1]), after=reading(sizes=[1, 20, 32]))
    assert change.observed("clipper_version_batch_size") == [32.0] * 4
