"""Counts of web processes and of the cluster in Prometheus' text format."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from registry.releases.control import Slots
from registry.releases.restarts import Restarts
from selection.store.health_alarms import Alarms
from serving.engine.stats import LATENCY_BOUNDS, cumulative
from serving.metrics.bounds import OF_APPLICATIONS, OF_LOOPS, OF_VERSIONS, WITH_BUCKETS, Shown
from serving.metrics.masters import MasterCounts
from serving.metrics.published import (
    APPLICATION_COUNTERS,
    ARM_COUNTERS,
    VERSION_COUNTERS,
    VERSION_GAUGES,
    VERSION_HISTOGRAMS,
)

GAUGE, COUNTER = GaugeMetricFamily, CounterMetricFamily
Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]
Samples = Iterable[tuple[list[str], float]]
NONE: Mapping[str, Any] = MappingProxyType({})

# A row for each number of a process: its section in the document ("" for the document itself) and
# its key there, its name and text.
OF_PROCESSES: tuple[tuple[Kind, str, str, str, str], ...] = (
    (GAUGE, "", "rss_bytes", "web_resident_bytes", "Resident memory of a web process"),
    (GAUGE, "redis", "used_bytes", "redis_used_bytes", "Memory that Redis uses"),
    (GAUGE, "redis", "max_bytes", "redis_max_bytes", "Memory that Redis may use; 0: no limit"),
    (GAUGE, "redis", "outputs_bytes", "outputs_kept_bytes", "Large outputs kept in Redis"),
    (COUNTER, "redis", "outputs_evicted", "outputs_evicted", "Large outputs evicted early"),
    (COUNTER, "redis", "outputs_dropped", "outputs_dropped", "Large outputs never kept in Redis"),
    (COUNTER, "redis", "due_dropped", "due_dropped", "Predictions that get no default reward"),
    (COUNTER, "directory", "refused", "replica_records_refused", "Forged records of replicas"),
    (COUNTER, "artifacts", "sent", "artifacts_sent", "Artifacts sent to other hosts"),
    (COUNTER, "artifacts", "sent_bytes", "artifacts_sent_bytes", "Bytes of artifacts sent"),
    (COUNTER, "artifacts", "refused", "artifact_requests_refused", "Refused to strangers"),
    (GAUGE, "registry", "left_out", "registry_rows_left_out", "Unreadable rows of the registry"),
    (GAUGE, "", "compiled", "web_compiled", "Compiled code answers queries (1), or Python (0)"),
)
OF_LOOP = {
    "lag": ("clipper_web_loop_lag_seconds", "Time that a timer of the event loop came late"),
    "read": ("clipper_registry_read_seconds", "Time of a reading of the registry, in a thread"),
    "apply": ("clipper_registry_apply_seconds", "Time of following a reading, on the event loop"),
}
OF_ENVIRONMENTS: dict[str, tuple[Kind, str, str]] = {
    "builds": (COUNTER, "clipper_environment_builds", "Environments built for versions"),
    "failures": (COUNTER, "clipper_environment_failures", "Environments that could not be built"),
    "seconds": (COUNTER, "clipper_environment_build_seconds", "Time that building them took"),
    "kept": (GAUGE, "clipper_environments_kept", "Environments that hosts keep"),
    "bytes": (GAUGE, "clipper_environments_bytes", "Bytes that they take"),
}
OF_MASTERS = {
    "starts": ("clipper_web_processes_started", "Web processes that their master started"),
    "unready": ("clipper_web_processes_never_ready", "Web processes that didn't get ready"),
    "deaths": ("clipper_web_processes_died", "Web processes that died"),
    "replaced": ("clipper_web_processes_replaced", "Web processes that a restart replaced"),
    "refused": ("clipper_web_restarts_failed", "Restarts after which the old processes stayed"),
}
OF_SLOTS = {
    "taken": ("clipper_slots_wanted", "Replicas that run or wait, less those kept warm"),
    "total": ("clipper_slots", "Slots of all workers that don't retire"),
    "free": ("clipper_slots_free", "Slots that no replica runs in or waits for"),
}


class _Families(Collector):
    def __init__(self, *families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return chain(*self._families)


def exposition(
    documents: Iterable[dict[str, Any]],
    *,
    control_age_s: float | None = None,
    restarts: Mapping[str, Restarts] = NONE,
    environments: Mapping[str, float] = NONE,
    checks: Mapping[str, int] = NONE,
    health: Alarms = NONE,
    masters: Mapping[str, MasterCounts] = NONE,
    slots: Mapping[str, Slots] = NONE,
) -> bytes:
    """Render the documents, and what the cluster has counted, in Prometheus' text format.

    `control_age_s` is the age of the control worker's last round, None if none is known. `restarts`
    are by version, `checks` by how they ended, `health` by application, `masters` by kind,
    `slots` by device.
    """
    documents = list(documents)
    families = _Families(
        _of_cluster(control_age_s, restarts, checks, health),
        _of_hosts(environments, masters),
        _of_slots(slots),
        _of_processes(documents),
        _of_shown([Shown.of(document) for document in documents]),
    )
    return generate_latest(families)


def _family(kind: Kind, name: str, text: str, labels: list[str], samples: Samples) -> Metric:
    family = kind(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _of_cluster(
    control_age_s: float | None,
    restarts: Mapping[str, Restarts],
    checks: Mapping[str, int],
    health: Alarms,
) -> Iterator[Metric]:
    yield GAUGE(
        "clipper_control_age_seconds",
        "Time since the control worker's last round",
        value=math.inf if control_age_s is None else control_age_s,
    )
    yield _family(
        COUNTER,
        "clipper_version_restarts",
        "Replicas that ended without being asked to",
        ["version", "host"],
        (
            ([arm, host], count)
            for arm, of_version in restarts.items()
            for host, count in of_version.by_host.items()
        ),
    )
    yield _family(
        COUNTER,
        "clipper_checks",
        "Versions that were tried out, by how that ended",
        ["outcome"],
        (([outcome], checks.get(outcome, 0)) for outcome in ("passed", "failed")),
    )
    yield _family(
        GAUGE,
        "clipper_application_health_alarm",
        "1 if a check of an experiment's health raises an alarm, else 0",
        ["application", "check"],
        (
            ([application, check], float(alarming))
            for application, checked in health.items()
            for check, alarming in checked.items()
        ),
    )


def _of_hosts(
    environments: Mapping[str, float], masters: Mapping[str, MasterCounts]
) -> Iterator[Metric]:
    for key, (kind, name, text) in OF_ENVIRONMENTS.items():
        yield kind(name, text, value=environments.get(key, 0.0))
    for key, (name, text) in OF_MASTERS.items():
        samples = (([of], counts.get(key, 0)) for of, counts in masters.items())
        yield _family(COUNTER, name, text, ["kind"], samples)


def _of_slots(slots: Mapping[str, Slots]) -> Iterator[Metric]:
    for key, (name, text) in OF_SLOTS.items():
        samples = (([f"replicas.{kind}"], getattr(of, key)) for kind, of in slots.items())
        yield _family(GAUGE, name, text, ["queue"], samples)


def _of_processes(documents: list[dict[str, Any]]) -> Iterator[Metric]:
    for kind, section, key, name, text in OF_PROCESSES:
        sections = [(d["id"], d.get(section, {}) if section else d) for d in documents]
        samples = (([process], values[key]) for process, values in sections if key in values)
        yield _family(kind, f"clipper_{name}", text, ["process"], samples)
    yield _family(
        COUNTER,
        "clipper_web_refusals",
        "Connections that ended with a refusal",
        ["process", "reason"],
        (
            ([document["id"], reason], count)
            for document in documents
            for reason, count in document.get("refusals", {}).items()
        ),
    )
    known = [(document["id"], document["loop"]) for document in documents if "loop" in document]
    for key, (name, text) in OF_LOOP.items():
        counted = (([process], values[key]) for process, values in known)
        yield _histogram(name, text, ["process"], counted, OF_LOOPS)


def _of_shown(processes: list[Shown]) -> Iterator[Metric]:
    def values(section: str, key: str) -> Iterator[tuple[list[str], Any]]:
        for process in processes:
            for name, counted in getattr(process, section).items():
                yield [process.process, name], counted[key]

    yield _family(
        GAUGE,
        "clipper_metrics_left_out",
        "Applications, versions and arms that are not shown, as others are asked more",
        ["process", "kind"],
        (
            ([process.process, kind], count)
            for process in processes
            for kind, count in process.left_out.items()
        ),
    )
    labels = ["process", "application"]
    for key, text in APPLICATION_COUNTERS.items():
        samples = values("applications", key)
        yield _family(COUNTER, f"clipper_application_{key}", text, labels, samples)
    yield _histogram(
        "clipper_application_latency_seconds",
        "Time from the arrival of a query to its answer",
        labels,
        values("applications", "seconds"),
        OF_APPLICATIONS,
    )
    for key, (text, _) in ARM_COUNTERS.items():
        yield _family(
            COUNTER,
            f"clipper_arm_{key}",
            text,
            [*labels, "version"],
            (
                ([process.process, *of], counts[key])
                for process in processes
                for of, counts in process.arms.items()
            ),
        )
    labels = ["process", "version"]
    for kind, texts in ((COUNTER, VERSION_COUNTERS), (GAUGE, VERSION_GAUGES)):
        for key, text in texts.items():
            yield _family(kind, f"clipper_version_{key}", text, labels, values("versions", key))
    for key, (text, _) in VERSION_HISTOGRAMS.items():
        name, counted = f"clipper_version_{key}", values("versions", key)
        if key in WITH_BUCKETS:
            yield _histogram(name, text, labels, counted, OF_VERSIONS)
            continue
        summary = SummaryMetricFamily(name, text, labels=labels)
        for of, one in counted:
            summary.add_metric(of, count_value=sum(one["counts"]), sum_value=one["total"])
        yield summary


def _histogram(
    name: str,
    text: str,
    labels: list[str],
    counted: Iterable[tuple[list[str], Any]],
    shown: Collection[int],
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for of, values in counted:
        buckets = cumulative(values["counts"], bounds=LATENCY_BOUNDS, shown=shown)
        family.add_metric(of, buckets=buckets, sum_value=values["total"])
    return family
