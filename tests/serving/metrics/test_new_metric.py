"""The recipe "A metric": a declared field is published, scraped and listed in the reference."""

from dataclasses import dataclass

import pytest

from scripts.docs import from_code
from serving.engine.stats import COUNTER, VersionStats, counter, declared
from serving.metrics.exposition import exposition
from serving.metrics.published import VERSION_COUNTERS, Metrics, Reading


@dataclass(slots=True)
class ToastStats(VersionStats):
    toasts: int = counter("Slices that came out brown")


@pytest.fixture(autouse=True)
def _field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSION_COUNTERS, "toasts", declared(ToastStats, COUNTER)["toasts"])


def test_it_is_scraped_for_each_process() -> None:
    documents = []
    for process in ("web-1", "web-2"):
        stats = ToastStats()
        stats.toasts += 1
        metrics = Metrics(process_id=process, pid=1)
        versions = {"svm:1": Reading(stats, 0, 0)}
        documents.append(metrics.document(at=0.0, now=0.0, rss_bytes=1, versions=versions))
    text = exposition(documents, control_age_s=0.0, restarts={}, health={}).decode()
    samples = [line for line in text.splitlines() if line.startswith("clipper_version_toasts")]
    assert [sample[-4:] for sample in samples] == [" 1.0", " 1.0"]


def test_the_reference_lists_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_code, "VersionStats", ToastStats)
    assert "Slices that came out brown" in from_code.metrics("version")
