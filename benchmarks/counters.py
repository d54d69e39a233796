"""Clipper's own numbers: `/metrics` before and after a load, and what changed in between."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

APPLICATION, VERSION = "clipper_application_", "clipper_version_"
WEB = ("clipper_web_", "clipper_registry_")

# Of a sample: its name, and the labels that tell it from others (application or version, le).
Key = tuple[str, str, str]
Samples = Mapping[Key, float]
Buckets = dict[float, int]

# Web processes publish their counters once a second.
PUBLISHED_SECONDS = 4.0
LOOK_AGAIN_SECONDS = 0.1


def parse_metrics(text: str) -> dict[Key, float]:
    """Return Clipper's samples of one exposition, summed over the web processes."""
    samples: dict[Key, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith((APPLICATION, VERSION, *WEB)):
                labels = sample.labels
                of = labels.get("application") or labels.get("version") or ""
                samples[sample.name, of, labels.get("le", "")] += sample.value
    return dict(samples)


def read_metrics(client: httpx.Client) -> Samples:
    return parse_metrics(client.get("/metrics").raise_for_status().text)


def published_metrics(
    client: httpx.Client, *, application: str, before: Samples, answered: int
) -> Samples:
    """Return the metrics as soon as they count all that was answered since `before`."""
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        after = read_metrics(client)
        change = Change(before=before, after=after)
        counted = change.total(f"{APPLICATION}queries_total", of=application)
        if counted >= answered or time.monotonic() > deadline:
            return after
        time.sleep(LOOK_AGAIN_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened between two readings of the metrics."""

    before: Samples
    after: Samples

    def total(self, name: str, *, of: str | None = None) -> float:
        """How far the samples of this name rose: those `of` one application or version, or all."""
        return sum(
            value - self.before.get(key, 0.0)
            for key, value in self.after.items()
            if key[0] == name and of in (None, key[1])
        )

    def default_ratio(self, application: str) -> float:
        defaults = self.total(f"{APPLICATION}defaults_total", of=application)
        return _share(defaults, of=self.total(f"{APPLICATION}queries_total", of=application))

    def late_ratio(self, application: str) -> float:
        late = self.total(f"{APPLICATION}late_total", of=application)
        return _share(late, of=self.total(f"{APPLICATION}queries_total", of=application))

    @property
    def hit_ratio(self) -> float:
        """The share of calls to models that the cache answered."""
        hits = self.total(f"{VERSION}hits_total")
        others = self.total(f"{VERSION}misses_total") + self.total(f"{VERSION}joined_total")
        return _share(hits, of=hits + others)

    @property
    def mean_batch(self) -> float:
        queries = self.total(f"{VERSION}batch_size_sum")
        return _share(queries, of=self.total(f"{VERSION}batch_size_count"))

    @property
    def mean_batch_ms(self) -> float:
        """What a batch took, as the web process saw it."""
        seconds = self.total(f"{VERSION}batch_seconds_sum")
        return 1e3 * _share(seconds, of=self.total(f"{VERSION}batch_seconds_count"))

    @property
    def mean_model_ms(self) -> float:
        """What a batch took inside the replica."""
        seconds = self.total(f"{VERSION}model_seconds_sum")
        return 1e3 * _share(seconds, of=self.total(f"{VERSION}model_seconds_count"))

    def buckets(self, name: str, *, of: str | None = None) -> Buckets:
        """Return how many observations of a histogram were at most so much, and more than the bound
        below, without the empty buckets.
        """
        cumulative: dict[float, float] = defaultdict(float)
        for key, value in self.after.items():
            if key[0] == f"{name}_bucket" and of in (None, key[1]):
                cumulative[float(key[2])] += value - self.before.get(key, 0.0)
        counts, below = {}, 0.0
        for bound in sorted(cumulative):
            if count := round(cumulative[bound] - below):
                counts[bound] = count
            below = cumulative[bound]
        return counts

    def batches(self, *, of: str | None = None) -> Buckets:
        """Return how many batches had at most so many queries, and more than the bound below."""
        return self.buckets(f"{VERSION}batch_size", of=of)

    def observed(self, name: str) -> list[float]:
        """Return each observation of a histogram, rounded up to the bound of its bucket."""
        return [bound for bound, count in self.buckets(name).items() for _ in range(count)]

    @property
    def defaults(self) -> float:
        """Answers of no model, of all applications."""
        return self.total(f"{APPLICATION}defaults_total")

    def versions(self) -> list[str]:
        """The versions that got batches."""
        name = f"{VERSION}batch_size_count"
        names = sorted(key[1] for key in self.after if key[0] == name)
        return [version for version in names if self.total(name, of=version) > 0]


def _share(part: float, *, of: float) -> float:
    return part / of if of else 0.0
