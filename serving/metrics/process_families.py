"""What web processes publish of themselves, as Prometheus has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from serving.engine.stats import LATENCY_BOUNDS, cumulative
from serving.metrics import event_loop, redis_memory
from serving.metrics.bounds import OF_LOOPS

# What a process is, by its document; None where it doesn't say.
STATES: Mapping[tuple[str, str], Callable[[dict[str, Any]], float | None]] = {
    (
        "clipper_registry_rows_left_out",
        "Rows of the registry that a process can't read, and so leaves out",
    ): lambda document: document.get("registry", {}).get("left_out"),
    (
        "clipper_web_compiled",
        "Whether a process that answers queries runs compiled code (1), or the Python (0)",
    ): lambda document: document.get("compiled"),
}


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


def state_families(documents: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    """Return gauges of what each process is; those of older releases tell less of themselves."""
    documents = list(documents)
    for (name, text), told in STATES.items():
        gauge = GaugeMetricFamily(name, text, labels=["process"])
        for document in documents:
            if (value := told(document)) is not None:
                gauge.add_metric([document["id"]], value)
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
