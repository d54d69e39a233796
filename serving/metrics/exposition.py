"""What web processes and the cluster count, in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from registry.restarts import Restarts
from selection.store.health_alarms import Alarms
from serving.engine.stats import LATENCY_BOUNDS, cumulative
from serving.metrics import artifacts
from serving.metrics.bounds import OF_APPLICATIONS, OF_VERSIONS, WITH_BUCKETS, Shown
from serving.metrics.cluster import (
    ChecksCollector,
    ClusterCollector,
    EnvironmentsCollector,
    refused_records,
)
from serving.metrics.experiments import HealthCollector
from serving.metrics.masters import MasterCounts, MastersCollector
from serving.metrics.process_families import loop_families, redis_families, state_families
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
    checks: Mapping[str, int] | None = None,
    health: Alarms | None = None,
    masters: Mapping[str, MasterCounts] | None = None,
) -> bytes:
    """Render the documents in Prometheus' text format; `process` tells the web processes apart.

    `control_age_s` is how old the control worker's last round is, None where nobody knows of one;
    `restarts` are those of versions by their names, `environments` what is counted of those built,
    `checks` how those of versions ended, `health` which
    checks of experiments raise an alarm, `masters` what those of web processes counted.
    """
    registry = CollectorRegistry()
    registry.register(ClusterCollector(control_age_s=control_age_s, restarts=restarts or {}))
    registry.register(EnvironmentsCollector(environments or {}))
    registry.register(ChecksCollector(checks or {}))
    registry.register(HealthCollector(health or {}))
    registry.register(MastersCollector(masters or {}))
    registry.register(_Documents(list(documents)))
    return generate_latest(registry)


class _Documents(Collector):
    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents
        self._shown = [Shown.of(document) for document in documents]

    def collect(self) -> Iterator[Metric]:
        yield self._memory()
        yield self._refusals()
        yield self._left_out()
        yield from redis_families(self._documents)
        yield refused_records(self._documents)
        yield from artifacts.sent_families(self._documents)
        yield from loop_families(self._documents)
        yield from state_families(self._documents)
        for name, text in APPLICATION_COUNTERS.items():
            yield self._counter(f"clipper_application_{name}", text, "applications", name)
        yield self._histogram(
            "clipper_application_latency_seconds",
            "Time from the arrival of a query to its answer",
            ("applications", "seconds"),
            OF_APPLICATIONS,
        )
        for name, (text, _) in ARM_COUNTERS.items():
            yield self._arm_counter(name, text)
        for name, text in VERSION_COUNTERS.items():
            yield self._counter(f"clipper_version_{name}", text, "versions", name)
        for name, text in VERSION_GAUGES.items():
            yield self._gauge(f"clipper_version_{name}", text, "versions", name)
        for name, (text, _) in VERSION_HISTOGRAMS.items():
            if name in WITH_BUCKETS:
                where = ("versions", name)
                yield self._histogram(f"clipper_version_{name}", text, where, OF_VERSIONS)
            else:
                yield self._summary(f"clipper_version_{name}", text, name)

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

    def _left_out(self) -> Metric:
        family = GaugeMetricFamily(
            "clipper_metrics_left_out",
            "Applications, versions and arms that are not shown, as others are asked more",
            labels=["process", "kind"],
        )
        for shown in self._shown:
            for kind, count in shown.left_out.items():
                family.add_metric([shown.process, kind], count)
        return family

    def _arm_counter(self, name: str, text: str) -> Metric:
        labels = ["process", "application", "version"]
        family = CounterMetricFamily(f"clipper_arm_{name}", text, labels=labels)
        for shown in self._shown:
            for (application, arm), counts in shown.arms.items():
                # A process of an older release counts less.
                if name in counts:
                    family.add_metric([shown.process, application, arm], counts[name])
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
        for process, key, value in self._values(kind, field_name):
            family.add_metric([process, key], value)
        return family

    def _histogram(
        self, name: str, text: str, where: tuple[str, str], shown: Collection[int]
    ) -> Metric:
        kind, field_name = where
        family = HistogramMetricFamily(name, text, labels=["process", kind[:-1]])
        for process, key, counted in self._values(kind, field_name):
            buckets = cumulative(counted["counts"], bounds=LATENCY_BOUNDS, shown=shown)
            family.add_metric([process, key], buckets=buckets, sum_value=counted["total"])
        return family

    def _summary(self, name: str, text: str, field_name: str) -> Metric:
        family = SummaryMetricFamily(name, text, labels=["process", "version"])
        for process, key, counted in self._values("versions", field_name):
            family.add_metric(
                [process, key], count_value=sum(counted["counts"]), sum_value=counted["total"]
            )
        return family

    def _values(self, kind: str, field_name: str) -> Iterator[tuple[str, str, Any]]:
        """Yield each process, application or version, and what was counted of it."""
        for shown in self._shown:
            for key, values in getattr(shown, kind).items():
                # A process of an older release may count less.
                if field_name in values:
                    yield shown.process, key, values[field_name]
