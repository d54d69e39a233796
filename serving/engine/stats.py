"""Counters of the engine: plain numbers, cheap to raise on every query and batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def geometric_bounds(*, first: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(first * factor**power for power in range(count))


# 0.1 ms to 65 s; two neighbours differ by a quarter, which bounds the error of a quantile.
LATENCY_BOUNDS = geometric_bounds(first=1e-4, factor=1.25, count=61)
BATCH_BOUNDS = geometric_bounds(first=1.0, factor=2.0, count=13)


class Histogram:
    """Counts observations by bucket: `counts[i]` those up to `bounds[i]`, the last one the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: list[float]) -> None:
        bounds, counts = self.bounds, self.counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.total += sum(values)

    def published(self) -> dict[str, Any]:
        return {"counts": list(self.counts), "total": self.total}


def cumulative(counts: Sequence[int], *, bounds: tuple[float, ...]) -> list[tuple[str, float]]:
    """Return Prometheus' buckets: each bound as text, and how many lie below or at it."""
    running, buckets = 0, []
    for bound, count in zip(bounds, counts, strict=False):
        running += count
        buckets.append((f"{bound:.6g}", float(running)))
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


def latency_histogram() -> Histogram:
    return Histogram(LATENCY_BOUNDS)


def batch_histogram() -> Histogram:
    return Histogram(BATCH_BOUNDS)


@dataclass(slots=True)
class VersionStats:
    """What one web process saw of one version."""

    hits: int = 0
    misses: int = 0
    joined: int = 0
    expired: int = 0
    saturated: int = 0
    overloaded: int = 0
    lost: int = 0
    failed: int = 0
    cancelled: int = 0
    quarantined: int = 0
    refused: int = 0
    ejected: int = 0
    queue_seconds: Histogram = field(default_factory=latency_histogram)
    batch_size: Histogram = field(default_factory=batch_histogram)
    batch_seconds: Histogram = field(default_factory=latency_histogram)
    model_seconds: Histogram = field(default_factory=latency_histogram)

    def record_batch(self, *, waits: list[float], seconds: float, model_seconds: float) -> None:
        """Count a batch that took `seconds`, whose queries had waited `waits` until it was sent."""
        self.batch_size.observe(len(waits))
        self.batch_seconds.observe(seconds)
        self.model_seconds.observe(model_seconds)
        self.queue_seconds.observe_all(waits)
