"""What a web process counts, how the processes share it, and how Prometheus reads it.

Counting is raising a number in memory. Once a second each process publishes its numbers in Redis
(`clipper:web:{id}`, gone 5 s after the process), where any process can read all of them: the
sorted set `clipper:webs` holds their ids, so that nobody has to search the whole of Redis.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import time
from typing import Any

import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.asyncio import Redis

from serving.engine.stats import (
    BATCH_BOUNDS,
    LATENCY_BOUNDS,
    Histogram,
    VersionStats,
    latency_histogram,
    quantile,
)

KEY_PREFIX = "clipper:web:"
TTL_S = 5
# Ids of the web processes, each by the unix time until which it is worth asking for; longer than
# its document lives, as clocks of several machines differ.
INDEX = "clipper:webs"
INDEX_TTL_S = 60
# Rates and quantiles shown to people look back this many publications (seconds).
WINDOW = 10

# What is published and scraped, by the names of the fields that count it.
APPLICATION_COUNTERS = {
    "queries": "Queries answered, with default answers",
    "defaults": "Queries answered with the default output",
    "errors": "Queries that ended in an error",
    "late": "Queries answered after the objective",
}
VERSION_COUNTERS = {
    "hits": "Calls answered from the prediction cache",
    "misses": "Calls sent to a replica",
    "joined": "Calls that joined an identical one in flight",
    "expired": "Calls dropped in the queue because their deadline had passed",
    "saturated": "Calls refused because the queue was full",
    "lost": "Calls whose replica was lost twice",
    "failed": "Calls that the model failed",
}
VERSION_HISTOGRAMS = {
    "batch_size": ("Queries in a batch", BATCH_BOUNDS),
    "batch_seconds": ("Time of a batch as the web process sees it", LATENCY_BOUNDS),
    "model_seconds": ("Time of a batch inside the replica", LATENCY_BOUNDS),
}


@dataclass(slots=True)
class ApplicationStats:
    """What one web process answered for one application."""

    queries: int = 0
    defaults: int = 0
    errors: int = 0
    late: int = 0
    seconds: Histogram = field(default_factory=latency_histogram)

    def record(self, *, seconds: float, default: bool, slo_ms: float) -> None:
        self.queries += 1
        self.seconds.observe(seconds)
        if default:
            self.defaults += 1
        if seconds * 1e3 > slo_ms:
            self.late += 1


@dataclass(slots=True)
class _Past:
    """The last few publications of one application, for rates and recent quantiles."""

    points: deque[tuple[float, int, list[int]]] = field(
        default_factory=lambda: deque(maxlen=WINDOW + 1)
    )

    def recent(self, stats: ApplicationStats, *, now: float) -> dict[str, float | None]:
        counts = list(stats.seconds.counts)
        self.points.append((now, stats.queries, counts))
        then, queries, before = self.points[0]
        window = [new - old for new, old in zip(counts, before, strict=True)]
        elapsed = now - then
        return {
            "rate": (stats.queries - queries) / elapsed if elapsed > 0 else 0.0,
            "p50_ms": _ms(quantile(window, bounds=LATENCY_BOUNDS, q=0.50)),
            "p99_ms": _ms(quantile(window, bounds=LATENCY_BOUNDS, q=0.99)),
        }


class Metrics:
    """The counters of one web process."""

    def __init__(self, *, process_id: str, pid: int) -> None:
        self.process_id = process_id
        self.applications: dict[str, ApplicationStats] = {}
        self._pid = pid
        self._past: dict[str, _Past] = {}

    def of_application(self, name: str) -> ApplicationStats:
        stats = self.applications.get(name)
        if stats is None:
            stats = self.applications[name] = ApplicationStats()
        return stats

    def forget(self, *, known: Iterable[str]) -> None:
        """Drop the counters of applications that no longer exist."""
        for name in self.applications.keys() - set(known):
            del self.applications[name]
            self._past.pop(name, None)

    def document(
        self, *, at: float, now: float, rss_bytes: int, versions: dict[str, VersionStats]
    ) -> dict[str, Any]:
        """Return everything as JSON; `at` is wall-clock time, `now` monotonic."""
        return {
            "id": self.process_id,
            "pid": self._pid,
            "at": at,
            "rss_bytes": rss_bytes,
            "applications": {
                name: {
                    **{counter: getattr(stats, counter) for counter in APPLICATION_COUNTERS},
                    "seconds": _histogram(stats.seconds),
                    **self._past.setdefault(name, _Past()).recent(stats, now=now),
                }
                for name, stats in self.applications.items()
            },
            "versions": {
                arm: {
                    **{counter: getattr(stats, counter) for counter in VERSION_COUNTERS},
                    **{name: _histogram(getattr(stats, name)) for name in VERSION_HISTOGRAMS},
                }
                for arm, stats in versions.items()
            },
        }


async def publish(client: Redis, document: dict[str, Any]) -> None:
    """Publish a document in place of its process' last one."""
    web, now = document["id"], time()
    async with client.pipeline(transaction=True) as pipe:
        pipe.set(KEY_PREFIX + web, json.dumps(document), ex=TTL_S)
        pipe.zadd(INDEX, {web: now + INDEX_TTL_S})
        pipe.zremrangebyscore(INDEX, "-inf", now)
        await pipe.execute()


def read_published(client: redis.Redis) -> list[dict[str, Any]]:
    """Return the last document of every live web process (blocking)."""
    keys = _published_keys(client.zrangebyscore(INDEX, time(), "+inf"))
    return _parsed(client.mget(keys) if keys else [])


async def read_published_async(client: Redis) -> list[dict[str, Any]]:
    """Return what `read_published` does, without blocking."""
    keys = _published_keys(await client.zrangebyscore(INDEX, time(), "+inf"))
    return _parsed(await client.mget(keys) if keys else [])


def _published_keys(ids: Iterable[Any]) -> list[str]:
    return [KEY_PREFIX + (web.decode() if isinstance(web, bytes) else web) for web in ids]


def _parsed(texts: Iterable[Any]) -> list[dict[str, Any]]:
    documents = [json.loads(text) for text in texts if text]
    return sorted(documents, key=lambda document: str(document["id"]))


def exposition(documents: Iterable[dict[str, Any]]) -> bytes:
    """Render the documents in Prometheus' text format; `process` tells the web processes apart."""
    registry = CollectorRegistry()
    registry.register(_Documents(list(documents)))
    return generate_latest(registry)


class _Documents(Collector):
    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def collect(self) -> Iterator[Metric]:
        yield self._memory()
        for name, text in APPLICATION_COUNTERS.items():
            yield self._counter(f"clipper_application_{name}", text, "applications", name)
        yield self._histogram(
            "clipper_application_latency_seconds",
            "Time from arrival to answer",
            ("applications", "seconds"),
            LATENCY_BOUNDS,
        )
        for name, text in VERSION_COUNTERS.items():
            yield self._counter(f"clipper_version_{name}", text, "versions", name)
        for name, (text, bounds) in VERSION_HISTOGRAMS.items():
            yield self._histogram(f"clipper_version_{name}", text, ("versions", name), bounds)

    def _memory(self) -> Metric:
        family = GaugeMetricFamily(
            "clipper_web_resident_bytes", "Resident memory of a web process", labels=["process"]
        )
        for document in self._documents:
            family.add_metric([document["id"]], document["rss_bytes"])
        return family

    def _counter(self, name: str, text: str, kind: str, field_name: str) -> Metric:
        family = CounterMetricFamily(name, text, labels=["process", kind[:-1]])
        for document in self._documents:
            for key, values in document[kind].items():
                family.add_metric([document["id"], key], values[field_name])
        return family

    def _histogram(
        self, name: str, text: str, where: tuple[str, str], bounds: tuple[float, ...]
    ) -> Metric:
        kind, field_name = where
        family = HistogramMetricFamily(name, text, labels=["process", kind[:-1]])
        for document in self._documents:
            for key, values in document[kind].items():
                histogram = values[field_name]
                family.add_metric(
                    [document["id"], key],
                    buckets=_cumulative(histogram["counts"], bounds),
                    sum_value=histogram["total"],
                )
        return family


def _cumulative(counts: list[int], bounds: tuple[float, ...]) -> list[tuple[str, float]]:
    running, buckets = 0, []
    for bound, count in zip(bounds, counts, strict=False):
        running += count
        buckets.append((f"{bound:.6g}", float(running)))
    return [*buckets, ("+Inf", float(running + counts[-1]))]


def _histogram(histogram: Histogram) -> dict[str, Any]:
    return {"counts": list(histogram.counts), "total": histogram.total}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
