"""What web processes publish of themselves, as Prometheus has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from serving.engine.stats import LATENCY_BOUNDS, cumulative
from serving.metrics import event_loop, redis_memory
from serving.metrics.bounds import OF_LOOPS


def loop_families(documents: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    """Return the metrics of what web processes publish as `loop`; older ones publish none."""
    known = [(document["id"], document["loop"]) for document in documents if "loop" in document]
    for field, (name, text) in event_loop.HISTOGRAMS.items():
        family = HistogramMetricFamily(name, text, labels=["process"])
        for process, values in known:
            counts = values[field]["counts"]
            buckets = cumulative(counts, bounds=LATENCY_BOUNDS, shown=OF_LOOPS)
            family.add_metric([process], buckets=buckets, sum_value=values[field]["total"])
        yield family


def registry_families(documents: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    """Return the metric of what web processes publish as `registry`; older ones publish none."""
    gauge = GaugeMetricFamily(
        "clipper_registry_rows_left_out",
        "Rows of the registry that a process can't read, and so leaves out",
        labels=["process"],
    )
    for document in documents:
        if "registry" in document:
            gauge.add_metric([document["id"]], document["registry"]["left_out"])
    yield gauge


def compiled_families(documents: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    """Return the metric of what web processes publish as `compiled`; older ones publish none."""
    gauge = GaugeMetricFamily(
        "clipper_web_compiled",
        "Whether a process that answers queries runs compiled code (1), or the Python (0)",
        labels=["process"],
    )
    for document in documents:
        if "compiled" in document:
            gauge.add_metric([document["id"]], document["compiled"])
    yield gauge


def redis_families(documents: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    """Return the metrics of what web processes publish as `redis`; older ones publish none."""
    known = [(document["id"], document["redis"]) for document in documents if "redis" in document]
    for field, (name, text) in redis_memory.GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=["process"])
        for process, values in known:
            gauge.add_metric([process], values[field])
        yield gauge
    for field, (name, text) in redis_memory.COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=["process"])
        for process, values in known:
            counter.add_metric([process], values[field])
        yield counter
