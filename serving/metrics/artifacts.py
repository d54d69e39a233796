"""What hosts fetch of artifacts: as the web processes sent it, and as the hosts counted it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

SENT = {
    "sent": ("clipper_artifacts_sent", "Artifacts that a web process sent to other hosts"),
    "sent_bytes": ("clipper_artifacts_sent_bytes", "Bytes of artifacts that it sent to them"),
    "refused": (
        "clipper_artifact_requests_refused",
        "Requests for artifacts from whoever didn't prove to be a host of the cluster",
    ),
}
FETCHED = {
    "fetched": ("clipper_artifacts_fetched", "Artifacts that a host fetched"),
    "fetched_bytes": ("clipper_artifacts_fetched_bytes", "Bytes of artifacts that came to a host"),
    "failures": ("clipper_artifact_fetch_failures", "Fetches of artifacts that a host gave up"),
    "refused": (
        "clipper_artifacts_wrong",
        "Artifacts that a host refused because their bytes weren't those registered",
    ),
}


@dataclass(slots=True)
class ArtifactCounts:
    """Of one web process; `sending` is how many hosts fetch at this moment."""

    sent: int = 0
    sent_bytes: int = 0
    refused: int = 0
    sending: int = 0

    def published(self) -> dict[str, int]:
        return asdict(self)


def sent_families(documents: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    """Return the metrics of what web processes publish as `artifacts`; older ones publish none."""
    known = [(each["id"], each["artifacts"]) for each in documents if "artifacts" in each]
    for field, (name, text) in SENT.items():
        family = CounterMetricFamily(name, text, labels=["process"])
        for process, values in known:
            family.add_metric([process], values.get(field, 0))
        yield family


class FetchesCollector(Collector):
    """What each host counted, by its name."""

    def __init__(self, hosts: Mapping[str, Mapping[str, int]]) -> None:
        self._hosts = hosts

    def collect(self) -> Iterator[Metric]:
        for field, (name, text) in FETCHED.items():
            family = CounterMetricFamily(name, text, labels=["host"])
            for host, counted in self._hosts.items():
                family.add_metric([host], counted.get(field, 0))
            yield family
        kept = GaugeMetricFamily(
            "clipper_artifact_copies_bytes",
            "Copies of artifacts that a host keeps",
            labels=["host"],
        )
        for host, counted in self._hosts.items():
            kept.add_metric([host], counted.get("kept_bytes", 0))
        yield kept
