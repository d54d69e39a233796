"""Counters of the engine: plain numbers, cheap to raise on every query and batch."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

# 0.1 ms to 65 s; two neighbours differ by a quarter, which bounds the error of a quantile.
LATENCY_BOUNDS = tuple(1e-4 * 1.25**power for power in range(61))
BATCH_BOUNDS = tuple(2.0**power for power in range(13))


class Histogram:
    """Counts observations by bucket: `counts[i]` those up to `bounds[i]`, the last one the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def published(self) -> dict[str, Any]:
        return {"counts": list(self.counts), "total": self.total}


def cumulative(
    counts: Sequence[int], *, bounds: tuple[float, ...], shown: Collection[int] | None = None
) -> list[tuple[str, float]]:
    """Return Prometheus' buckets: bounds as text, those at places `shown`, and their counts."""
    running, buckets = 0, []
    for place, (bound, count) in enumerate(zip(bounds, counts, strict=False)):
        running += count
        if shown is None or place in shown:
            buckets.append((f"{bound:.4g}", float(running)))
    return [*buckets, ("+Inf", float(running + counts[-1]))]


def quantile(counts: list[int], *, bounds: tuple[float, ...], q: float) -> float | None:
    """Estimate the `q` quantile by linear interpolation within its bucket; None without data."""
    total = sum(counts)
    if total == 0:
        return None
    rank = q * total
    seen = 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            lower = bounds[index - 1] if index else 0.0
            upper = bounds[index] if index < len(bounds) else bounds[-1]
            return lower + (upper - lower) * (rank - seen) / count
        seen += count
    return bounds[-1]


# A field that is declared with one of these is a metric of its name: what it counts is published,
# summed, scraped and described from here (`serving.metrics.published`).
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


def counter(text: str) -> Any:
    """A field of a dataclass that only grows; `text` says what it counts."""
    return field(default=0, metadata={COUNTER: text})


def gauge(text: str) -> Any:
    """A field of a dataclass that is a number at this moment."""
    return field(default=0, metadata={GAUGE: text})


def histogram(text: str, *, bounds: tuple[float, ...] = LATENCY_BOUNDS) -> Any:
    """A field of a dataclass that counts observations by size."""
    return field(default_factory=lambda: Histogram(bounds), metadata={HISTOGRAM: (text, bounds)})


def declared(counted: Any, kind: str) -> dict[str, Any]:
    """Return the declared fields of this kind by name, in order: the text, with its bounds."""
    return {f.name: f.metadata[kind] for f in fields(counted) if kind in f.metadata}


@dataclass(slots=True)
class VersionStats:
    """Counts of one version in one web process."""

    hits: int = counter("Calls answered from the prediction cache")
    misses: int = counter("Calls sent to a replica")
    joined: int = counter("Calls that joined an identical one in flight")
    expired: int = counter("Calls dropped in the queue because their deadline had passed")
    saturated: int = counter("Calls refused because the queue was full, in rows or in bytes")
    overloaded: int = counter("Calls refused because no replica could answer before their deadline")
    lost: int = counter("Calls that lost two replicas while they waited behind another batch")
    failed: int = counter("Calls that the model failed")
    cancelled: int = counter(
        "Calls dropped before they were sent because everybody who had asked had left"
    )
    quarantined: int = counter("Calls refused because replicas died of their input")
    refused: int = counter("Calls whose input the model refused as invalid")
    ejected: int = counter("Times that a failing replica was passed over while others answered")
    batch_size: Histogram = histogram("Queries in a batch", bounds=BATCH_BOUNDS)
    queue_seconds: Histogram = histogram("Time a query waited until its batch was sent")
    batch_seconds: Histogram = histogram("Time of a batch as the web process sees it")
    model_seconds: Histogram = histogram("Time of a batch inside the replica")

    def record_batch(self, *, waits: list[float], seconds: float, model_seconds: float) -> None:
        """Count a batch that took `seconds`, whose queries had waited `waits` until it was sent."""
        self.batch_size.observe(len(waits))
        self.batch_seconds.observe(seconds)
        self.model_seconds.observe(model_seconds)
        # A method's call for each row would cost as much as the rest of it.
        bounds, counts = self.queue_seconds.bounds, self.queue_seconds.counts
        for wait in waits:
            counts[bisect_left(bounds, wait)] += 1
        self.queue_seconds.total += sum(waits)
