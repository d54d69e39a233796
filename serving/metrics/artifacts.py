"""Counts of the artifacts that web processes send to other hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

SENT = {
    "sent": ("clipper_artifacts_sent", "Artifacts that a web process sent to other hosts"),
    "sent_bytes": ("clipper_artifacts_sent_bytes", "Bytes of artifacts that it sent to them"),
    "refused": (
        "clipper_artifact_requests_refused",
        "Requests for artifacts from whoever didn't prove to be a host of the cluster",
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
