"""One closed load, as it is seen by wrk, by the system, and in Clipper's own numbers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.frames import Record
from benchmarks.processes import Processes, read_cpu
from benchmarks.wrk import Load, LoadGenerator

APPLICATION, VERSION = "clipper_application_", "clipper_version_"
QUERIES, DEFAULTS = f"{APPLICATION}queries_total", f"{APPLICATION}defaults_total"
# Of a sample: its name, and the labels that tell it from others (application or version, le).
Samples = Mapping[tuple[str, str, str], float]

# Web processes publish their counters once a second.
PUBLISHED_SECONDS, LOOK_AGAIN_SECONDS = 4.0, 0.1
ROLES = ("cores", "replicas", "redis", "wrk", "elsewhere")

# What is told of a load by its field: a sum of counters divided by another, in this unit.
CALLS = tuple(f"{VERSION}{name}_total" for name in ("hits", "misses", "joined"))
RATIOS: dict[str, tuple[float, str, tuple[str, ...]]] = {
    # The share of calls to models that the cache answered.
    "hits": (1.0, f"{VERSION}hits_total", CALLS),
    "defaults": (1.0, DEFAULTS, (QUERIES,)),
    "late": (1.0, f"{APPLICATION}late_total", (QUERIES,)),
    "batch": (1.0, f"{VERSION}batch_size_sum", (f"{VERSION}batch_size_count",)),
    # What a batch took as the web process saw it, and inside the replica.
    "batch_ms": (1e3, f"{VERSION}batch_seconds_sum", (f"{VERSION}batch_seconds_count",)),
    "model_ms": (1e3, f"{VERSION}model_seconds_sum", (f"{VERSION}model_seconds_count",)),
}


def parse_metrics(text: str) -> Samples:
    """Return the samples of one exposition, summed over the web processes."""
    samples: dict[tuple[str, str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            of = labels.get("application") or labels.get("version") or ""
            samples[sample.name, of, labels.get("le", "")] += sample.value
    return dict(samples)


def read_metrics(client: httpx.Client) -> Samples:
    return parse_metrics(client.get("/metrics").raise_for_status().text)


class Change(NamedTuple):
    """The difference between two readings of the metrics."""

    before: Samples
    after: Samples

    @classmethod
    def since(cls, before: Samples, *, client: httpx.Client, answered: int) -> Change:
        """Read the metrics as soon as they count all that was answered since `before`."""
        deadline = time.monotonic() + PUBLISHED_SECONDS
        while True:
            change = cls(before, read_metrics(client))
            if change.total(QUERIES) >= answered or time.monotonic() > deadline:
                return change
            time.sleep(LOOK_AGAIN_SECONDS)

    def total(self, *names: str) -> float:
        """Return the rise of the samples of these names, of all applications and versions."""
        named = ((key, value) for key, value in self.after.items() if key[0] in names)
        return sum(value - self.before.get(key, 0.0) for key, value in named)

    def ratios(self) -> dict[str, float]:
        """The field of each of the `RATIOS`; 0 where nothing happened."""
        return {
            field: unit * self.total(name) / (self.total(*of) or 1.0)
            for field, (unit, name, of) in RATIOS.items()
        }

    def observed(self, name: str) -> list[float]:
        """Return each observation of a histogram, rounded up to the bound of its bucket."""
        cumulative: dict[float, float] = defaultdict(float)
        for key, value in self.after.items():
            if key[0] == f"{name}_bucket":
                cumulative[float(key[2])] += value - self.before.get(key, 0.0)
        found: list[float] = []
        for bound in sorted(cumulative):
            found += [bound] * (round(cumulative[bound]) - len(found))
        return found


def sampled(
    load: Load,
    *,
    wrk: LoadGenerator,
    seconds: int,
    processes: Processes,
    server: str,
    client: httpx.Client | None = None,
    settle: Callable[[], object] = lambda: None,
) -> Record:
    """Put the load for so long, then wait with `settle` for what it leaves to be done.

    Cores kept busy are by role; `server_us` is the server's CPU time in µs for a query.
    """
    metrics = read_metrics(client) if client else {}
    before = read_cpu(processes)
    seen = wrk.run(load, seconds=seconds)
    settle()
    after = read_cpu(processes)
    spent, cores = after.seconds_since(before), after.cores_since(before)
    cores["cores"] = cores.get(server, 0.0)
    each = 1e6 / max(1, seen.answered)
    found: Record = {
        "connections": load.connections,
        "answered": seen.answered,
        "rate": seen.rate,
        "p50_ms": seen.p50_us / 1e3,
        "p99_ms": seen.p99_us / 1e3,
        "errors": seen.errors,
        "server_us": each * spent.get(server, 0.0),
        "redis_us": each * spent.get("redis", 0.0),
        **{role: cores.get(role, 0.0) for role in ROLES},
    }
    if client is None:
        return found
    change = Change.since(metrics, client=client, answered=seen.answered)
    return found | change.ratios() | {"default_count": change.total(DEFAULTS)}
