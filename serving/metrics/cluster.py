"""What Prometheus reads of the cluster: the same, whichever web process it asks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from registry.restarts import Restarts

ENVIRONMENT_COUNTERS = {
    "builds": ("clipper_environment_builds", "Environments built for versions"),
    "failures": ("clipper_environment_failures", "Environments that could not be built"),
    "seconds": ("clipper_environment_build_seconds", "Time that building them took"),
}
ENVIRONMENT_GAUGES = {
    "kept": ("clipper_environments_kept", "Environments that hosts keep"),
    "bytes": ("clipper_environments_bytes", "Bytes that they take"),
}


class ClusterCollector(Collector):
    """`control_age_s` is None where nobody knows of a round; `restarts` are by `model:version`."""

    def __init__(self, *, control_age_s: float | None, restarts: Mapping[str, Restarts]) -> None:
        self._control_age_s = math.inf if control_age_s is None else control_age_s
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "clipper_control_age_seconds",
            "Time since the control worker's last round",
            value=self._control_age_s,
        )
        restarts = CounterMetricFamily(
            "clipper_version_restarts",
            "Replicas that ended without being asked to",
            labels=["version", "host"],
        )
        for arm, of_version in self._restarts.items():
            for host, count in of_version.by_host.items():
                restarts.add_metric([arm, host], count)
        yield restarts


class EnvironmentsCollector(Collector):
    """What was built for versions on all hosts, and what they keep: numbers by their names."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        for name, (metric, text) in ENVIRONMENT_COUNTERS.items():
            yield CounterMetricFamily(metric, text, value=self._numbers.get(name, 0.0))
        for name, (metric, text) in ENVIRONMENT_GAUGES.items():
            yield GaugeMetricFamily(metric, text, value=self._numbers.get(name, 0.0))


class ChecksCollector(Collector):
    """How the checks of versions ended on all hosts."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        checks = CounterMetricFamily(
            "clipper_checks", "Versions that were tried out, by how that ended", labels=["outcome"]
        )
        for outcome in ("passed", "failed"):
            checks.add_metric([outcome], self._counts.get(outcome, 0))
        yield checks


def refused_records(documents: Iterable[dict[str, Any]]) -> Metric:
    """Return what web processes publish as `directory`; older ones publish none."""
    family = CounterMetricFamily(
        "clipper_replica_records_refused",
        "Records of replicas that this stack did not write",
        labels=["process"],
    )
    for document in documents:
        if "directory" in document:
            family.add_metric([document["id"]], document["directory"]["refused"])
    return family
