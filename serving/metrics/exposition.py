"""What web processes and the cluster count, in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from registry.restarts import Restarts
from selection.store.health import Alarms
from serving.engine.stats import LATENCY_BOUNDS, cumulative
from serving.metrics import artifacts, event_loop, redis_memory
from serving.metrics.cluster import (
    ChecksCollector,
    ClusterCollector,
    EnvironmentsCollector,
    refused_records,
)
from serving.metrics.experiments import HealthCollector
from serving.metrics.published import (
    APPLICATION_COUNTERS,
    ARM_COUNTERS,
    VERSION_COUNTERS,
    VERSION_GAUGES,
    VERSION_HISTOGRAMS,
)


def exposition(
    documents: Iterable[dict[str, Any]],
    *,
    control_age_s: float | None = None,
    restarts: Mapping[str, Restarts] | None = None,
    environments: Mapping[str, float] | None = None,
    fetches: Mapping[str, Mapping[str, int]] | None = None,
    checks: Mapping[str, int] | None = None,
    health: Alarms | None = None,
) -> bytes:
    """Render the documents in Prometheus' text format; `process` tells the web processes apart.

    `control_age_s` is how old the control worker's last round is, None where nobody knows of one;
    `restarts` are those of versions by their names, `environments` what is counted of those built,
    `fetches` what hosts counted of artifacts, `checks` how those of versions ended, `health` which
    checks of experiments raise an alarm.
    """
    registry = CollectorRegistry()
    registry.register(ClusterCollector(control_age_s=control_age_s, restarts=restarts or {}))
    registry.register(EnvironmentsCollector(environments or {}))
    registry.register(ChecksCollector(checks or {}))
    registry.register(artifacts.FetchesCollector(fetches or {}))
    registry.register(HealthCollector(health or {}))
    registry.register(_Documents(list(documents)))
    return generate_latest(registry)


class _Documents(Collector):
    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def collect(self) -> Iterator[Metric]:
        yield self._memory()
        yield self._refusals()
        yield from redis_memory.families(self._documents)
        yield refused_records(self._documents)
        yield from artifacts.sent_families(self._documents)
        yield from event_loop.families(self._documents)
        for name, text in APPLICATION_COUNTERS.items():
            yield self._counter(f"clipper_application_{name}", text, "applications", name)
        yield self._histogram(
            "clipper_application_latency_seconds",
            "Time from the arrival of a query to its answer",
            ("applications", "seconds"),
            LATENCY_BOUNDS,
        )
        for name, (text, _) in ARM_COUNTERS.items():
            yield self._arm_counter(name, text)
        for name, text in VERSION_COUNTERS.items():
            yield self._counter(f"clipper_version_{name}", text, "versions", name)
        for name, text in VERSION_GAUGES.items():
            yield self._gauge(f"clipper_version_{name}", text, "versions", name)
        for name, (text, bounds) in VERSION_HISTOGRAMS.items():
            yield self._histogram(f"clipper_version_{name}", text, ("versions", name), bounds)

    def _memory(self) -> Metric:
        family = GaugeMetricFamily(
            "clipper_web_resident_bytes", "Resident memory of a web process", labels=["process"]
        )
        for document in self._documents:
            family.add_metric([document["id"]], document["rss_bytes"])
        return family

    def _refusals(self) -> Metric:
        family = CounterMetricFamily(
            "clipper_web_refusals",
            "Connections that ended with a refusal",
            labels=["process", "reason"],
        )
        for document in self._documents:
            # A process of an older release counts none.
            for reason, count in document.get("refusals", {}).items():
                family.add_metric([document["id"], reason], count)
        return family

    def _arm_counter(self, name: str, text: str) -> Metric:
        labels = ["process", "application", "version"]
        family = CounterMetricFamily(f"clipper_arm_{name}", text, labels=labels)
        for document in self._documents:
            for application, values in document["applications"].items():
                # A process of an older release counts less.
                for arm, counts in values.get("arms", {}).items():
                    if name in counts:
                        family.add_metric([document["id"], application, arm], counts[name])
        return family

    def _counter(self, name: str, text: str, kind: str, field_name: str) -> Metric:
        family = CounterMetricFamily(name, text, labels=["process", kind[:-1]])
        return self._filled(family, kind, field_name)

    def _gauge(self, name: str, text: str, kind: str, field_name: str) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["process", kind[:-1]])
        return self._filled(family, kind, field_name)

    def _filled(
        self, family: CounterMetricFamily | GaugeMetricFamily, kind: str, field_name: str
    ) -> Metric:
        for document in self._documents:
            for key, values in document[kind].items():
                # A process of an older release may count less.
                if field_name in values:
                    family.add_metric([document["id"], key], values[field_name])
        return family

    def _histogram(
        self, name: str, text: str, where: tuple[str, str], bounds: tuple[float, ...]
    ) -> Metric:
        kind, field_name = where
        family = HistogramMetricFamily(name, text, labels=["process", kind[:-1]])
        for document in self._documents:
            for key, values in document[kind].items():
                histogram = values.get(field_name)
                if histogram is None:
                    continue
                family.add_metric(
                    [document["id"], key],
                    buckets=cumulative(histogram["counts"], bounds=bounds),
                    sum_value=histogram["total"],
                )
        return family
