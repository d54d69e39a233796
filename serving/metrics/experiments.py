"""What Prometheus reads of experiments' health: the same, whichever web process it asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from selection.store.health_alarms import Alarms


class HealthCollector(Collector):
    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "clipper_application_health_alarm",
            "Whether a check of an experiment's health raises an alarm: 1, or 0",
            labels=["application", "check"],
        )
        for application, checks in self._alarms.items():
            for check, alarming in checks.items():
                family.add_metric([application, check], float(alarming))
        yield family
