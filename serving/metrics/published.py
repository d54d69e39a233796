"""Counters of a web process, and the documents with which processes share them.

Each process publishes its numbers in Redis once a second (`clipper:web:{id}`, gone 5 s after the
process), for any process to read.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import msgspec
import redis
from redis.asyncio import Redis

from core.redis.expiring_keys import ExpiringKeys
from serving.engine.outcome import Outcome, Status
from serving.engine.stats import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    LATENCY_BOUNDS,
    Histogram,
    VersionStats,
    counter,
    declared,
    gauge,
    quantile,
)
from serving.metrics.outcomes import DEFAULTS, ENDINGS, LATENCY, LENGTH, NO_OUTCOME, QueryEnding
from serving.metrics.window import Delta, RateWindow

KEY_PREFIX = "clipper:web:"
INDEX = "clipper:webs"
WEBS = ExpiringKeys(index=INDEX, prefix=KEY_PREFIX)
# Console processes answer no queries, so they are read apart.
CONSOLES = ExpiringKeys(index="clipper:consoles", prefix="clipper:console:")

# What the traffic's history is made of; it outlives its process until control has read it.
TRAFFIC = ExpiringKeys(index="clipper:traffic", prefix="clipper:traffic:")
TRAFFIC_KEPT_S = 86_400


class ArmCounter(NamedTuple):
    """A counter of an application's calls to an arm: those that ended so."""

    text: str
    endings: tuple[int, ...]


ARM_COUNTERS = {
    "asked": ArmCounter("Queries that the policy sent to an arm", (*Status, NO_OUTCOME)),
    "answered": ArmCounter("Queries that an arm answered in time", (Status.OK,)),
    "late": ArmCounter(
        "Queries that an arm did not answer in time, or refused because it could not",
        (Status.SATURATED, Status.EXPIRED, Status.OVERLOADED, NO_OUTCOME),
    ),
    "failed": ArmCounter(
        "Queries on which an arm failed, or lost its replica",
        (Status.MODEL_FAILED, Status.NOT_CONNECTED, Status.REPLICA_LOST, Status.QUARANTINED),
    ),
    "refused": ArmCounter("Queries whose input an arm refused as invalid", (Status.INVALID_INPUT,)),
}


@dataclass(slots=True)
class ApplicationStats:
    """Counts of one application in one web process."""

    queries: int = counter("Queries answered, default answers included")
    defaults: int = counter("Queries answered with the default output")
    errors: int = counter(
        "Queries that ended in an error: a bad input, no answer and no default output, or a fault"
        " of Clipper's own"
    )
    late: int = counter("Queries answered after the objective")
    abandoned: int = counter(
        "Queries whose caller left before the answer; none of the others counts them"
    )
    scored: int = counter("Rows scored, which no other counter counts")
    labels_too_late: int = counter(
        "Pieces of feedback refused because their feedback window was over"
    )
    trials: int = counter("Queries of people who try it in the console, counted nowhere else")
    captures_dropped: int = counter(
        "Queries drawn for capture that were lost: too large, unreadable, or no room for them"
    )
    # Each such query got the default output or, without one, an error.
    unconnected: int = counter("Queries whose models had no replica")
    overloaded: int = counter("Queries that every model asked refused at once")
    timed_out: int = counter("Queries that no model answered within the objective")
    failed: int = counter("Queries whose models failed")
    refused: int = counter(
        "Queries whose input the models asked refused as invalid, a second opinion included"
    )
    compared: int = counter("Answers compared with the first arm's answer to the same query")
    disagreed: int = counter("Those of the answers compared that were other ones")
    unsure: int = counter("Queries answered with less confidence than the application's threshold")
    seconds: Histogram = field(default_factory=Histogram)
    # Counts of the application, and by arm, in the layout of `outcomes`.
    outcomes: list[int] = field(default_factory=lambda: [0] * LENGTH)
    endings: dict[str, list[int]] = field(default_factory=dict)
    # Arms that are gone, whose last counts have yet to be published.
    leaving: dict[str, list[int]] = field(default_factory=dict)

    def count_arms(self, arms: Sequence[str], outcomes: Sequence[Outcome | None]) -> None:
        """Count how the calls of one query have ended."""
        for arm, outcome in zip(arms, outcomes, strict=True):
            counts = self.endings.get(arm) or self._counts_of(arm)
            counts[NO_OUTCOME if outcome is None else outcome.status] += 1

    def _counts_of(self, arm: str) -> list[int]:
        return self.endings.setdefault(arm, [0] * LENGTH)

    def compare(self, outputs: Sequence[bytes]) -> None:
        """Count how many of several arms' answers to one query are unlike the first."""
        self.compared += len(outputs) - 1
        self.disagreed += len(outputs) - outputs.count(outputs[0])

    def arms(self) -> dict[str, dict[str, int]]:
        """Return the counters of each arm, by the names of `ARM_COUNTERS`."""
        return {
            arm: {
                name: sum(counts[ending] for ending in counted.endings)
                for name, counted in ARM_COUNTERS.items()
            }
            for arm, counts in self.endings.items()
            if arm not in self.leaving and any(counts[:ENDINGS])
        }

    def published_outcomes(self) -> dict[str, list[int]]:
        """Return the counts of the application, as "", and of its arms."""
        own = self.outcomes
        return {"": [*own[:LATENCY], *self.seconds.counts, *own[DEFAULTS:]], **self.endings}

    def count(self, counter: str) -> None:
        setattr(self, counter, getattr(self, counter) + 1)

    def record(
        self,
        arms: Sequence[str],
        *,
        seconds: float,
        slo_ms: float,
        default: QueryEnding | None = None,
    ) -> None:
        """Count a query that was answered; `default`: with the default output, for this reason."""
        self.queries += 1
        bucket = bisect_left(LATENCY_BOUNDS, seconds)
        self.seconds.counts[bucket] += 1
        self.seconds.total += seconds
        for arm in arms:
            counts = self.endings.get(arm) or self._counts_of(arm)
            counts[LATENCY + bucket] += 1
        late = seconds * 1e3 > slo_ms
        if late:
            self.late += 1
        if default is not None:
            self.defaults += 1
        if late and default in (None, QueryEnding.ABSTAINED):
            default = QueryEnding.SLOW
        if default is not None:
            answered = default in (QueryEnding.SLOW, QueryEnding.ABSTAINED)
            self._end(arms, default, bucket=None if answered else bucket)

    def fail(self, arms: Sequence[str], ending: QueryEnding) -> None:
        """Count a query that ended with an error."""
        self.errors += 1
        self._end(arms, ending)

    def _end(self, arms: Sequence[str], ending: QueryEnding, *, bucket: int | None = None) -> None:
        for counts in (self.outcomes, *map(self._counts_of, arms)):
            counts[ENDINGS + ending] += 1
            if bucket is not None:
                counts[DEFAULTS + bucket] += 1


@dataclass(slots=True)
class ArtifactCounts:
    """Artifacts that one web process sent; `sending` is how many hosts fetch now."""

    sent: int = 0
    sent_bytes: int = 0
    refused: int = 0
    sending: int = 0

    def published(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts of a version in one web process, and what is open there now."""

    stats: VersionStats
    waiting: int = gauge("Queries that wait for a replica")
    in_flight: int = gauge("Queries that replicas are working on")
    # It has no link to them, and knows why.
    unreachable: int = gauge("Ready replicas that this web process can't reach")


APPLICATION_COUNTERS = declared(ApplicationStats, COUNTER)
VERSION_COUNTERS = declared(VersionStats, COUNTER)
VERSION_GAUGES = declared(Reading, GAUGE)
VERSION_HISTOGRAMS = declared(VersionStats, HISTOGRAM)


class Metrics:
    """The counters of one web process."""

    def __init__(self, *, process_id: str, pid: int) -> None:
        self.process_id = process_id
        self.applications: dict[str, ApplicationStats] = {}
        # Connections that ended with a refusal, by its reason.
        self.refusals: Counter[str] = Counter()
        self._pid = pid
        self._published = 0
        self._past: dict[str, RateWindow] = {}
        self._past_of_versions: dict[str, RateWindow] = {}

    def of_application(self, name: str) -> ApplicationStats:
        stats = self.applications.get(name)
        if stats is None:
            stats = self.applications[name] = ApplicationStats()
        return stats

    def forget(
        self,
        names: Iterable[str] | None = None,
        *,
        arms_of: Callable[[str], Collection[str] | None],
    ) -> None:
        """Drop counters of applications (None: all) and arms that are gone by `arms_of`."""
        for name in list(self.applications) if names is None else names:
            stats, arms = self.applications.get(name), arms_of(name)
            if stats is None:
                continue
            if arms is None:
                del self.applications[name]
                self._past.pop(name, None)
                continue
            for arm in stats.leaving.keys() & set(arms):
                del stats.leaving[arm]
            for arm in stats.endings.keys() - set(arms) - stats.leaving.keys():
                stats.leaving[arm] = []

    def traffic(self, *, left: bool = False) -> dict[str, Any]:
        """Return what queries came to; `left`: for the last time, as the process ends."""
        self._published += 1
        return {
            "id": self.process_id,
            "number": self._published,
            "left": left,
            "applications": {
                name: stats.published_outcomes() for name, stats in self.applications.items()
            },
        }

    def note_published(self, traffic: Mapping[str, Any]) -> None:
        """Drop counts of arms that are gone once they have been published unchanged twice."""
        for name, counted in traffic["applications"].items():
            if (stats := self.applications.get(name)) is None:
                continue
            for arm, last in [*stats.leaving.items()]:
                counts = list(counted.get(arm, ()))
                if counts == last and stats.endings.get(arm, counts) == counts:
                    del stats.leaving[arm]
                    stats.endings.pop(arm, None)
                else:
                    stats.leaving[arm] = counts

    def document(
        self, *, at: float, now: float, rss_bytes: int, versions: dict[str, Reading]
    ) -> dict[str, Any]:
        """Return everything as JSON; `at` is wall-clock time, `now` monotonic."""
        return {
            "id": self.process_id,
            "pid": self._pid,
            "at": at,
            "rss_bytes": rss_bytes,
            "refusals": dict(self.refusals),
            "applications": {
                name: self._application(name, stats, now=now)
                for name, stats in self.applications.items()
            },
            "versions": self._versions(versions, now=now),
        }

    def _application(self, name: str, stats: ApplicationStats, *, now: float) -> dict[str, Any]:
        past = self._past.get(name)
        if past is None:
            past = RateWindow(counters=tuple(APPLICATION_COUNTERS), histograms=("seconds",))
            self._past[name] = past
        delta = past.delta(stats, now=now)
        return {
            **{counter: getattr(stats, counter) for counter in APPLICATION_COUNTERS},
            "seconds": stats.seconds.published(),
            "arms": stats.arms(),
            "rate": delta.rate("queries") + delta.rate("errors"),
            "p50_ms": _quantile_ms(delta, name="seconds", q=0.50),
            "p99_ms": _quantile_ms(delta, name="seconds", q=0.99),
            "recent": {"seconds": delta.seconds, **delta.counts},
        }

    def _versions(self, versions: dict[str, Reading], *, now: float) -> dict[str, Any]:
        self._past_of_versions = {
            arm: self._past_of_versions.get(arm)
            or RateWindow(counters=tuple(VERSION_COUNTERS), histograms=tuple(VERSION_HISTOGRAMS))
            for arm in versions
        }
        return {
            arm: {
                **{counter: getattr(version.stats, counter) for counter in VERSION_COUNTERS},
                **{name: getattr(version.stats, name).published() for name in VERSION_HISTOGRAMS},
                **{gauge: getattr(version, gauge) for gauge in VERSION_GAUGES},
                "recent": _recent(self._past_of_versions[arm].delta(version.stats, now=now)),
            }
            for arm, version in versions.items()
        }


def _recent(delta: Delta) -> dict[str, Any]:
    """Return the counts of a version in the last seconds."""
    return {
        "seconds": delta.seconds,
        **delta.counts,
        "sent": sum(delta.histograms["queue_seconds"]),
        "batches": sum(delta.histograms["batch_size"]),
        "queue_p99_ms": _quantile_ms(delta, name="queue_seconds", q=0.99),
        "model_p99_ms": _quantile_ms(delta, name="model_seconds", q=0.99),
    }


def _quantile_ms(delta: Delta, *, name: str, q: float) -> float | None:
    seconds = quantile(delta.histograms[name], bounds=LATENCY_BOUNDS, q=q)
    return None if seconds is None else seconds * 1e3


async def publish(
    client: Redis,
    document: dict[str, Any],
    *,
    among: ExpiringKeys = WEBS,
    traffic: dict[str, Any] | None = None,
) -> None:
    """Publish a document, and what its process' queries came to, in place of the last ones."""
    async with client.pipeline(transaction=True) as pipe:
        if traffic is not None:
            text = msgspec.json.encode(traffic)
            TRAFFIC.write(pipe, traffic["id"], text=text, ttl_s=TRAFFIC_KEPT_S)
        among.write(pipe, document["id"], text=msgspec.json.encode(document), ttl_s=5)
        among.forget_gone(pipe)
        await pipe.execute()


async def withdraw(client: Redis, process_id: str, *, among: ExpiringKeys = WEBS) -> None:
    """Remove the document of a process that leaves."""
    async with client.pipeline(transaction=True) as pipe:
        among.remove(pipe, process_id)
        await pipe.execute()


def read_published(client: redis.Redis, *, among: ExpiringKeys = WEBS) -> list[dict[str, Any]]:
    """Return the last document of every process of a kind that lives (blocking)."""
    return _parsed(among.read(client))


async def read_published_async(
    client: Redis, *, among: ExpiringKeys = WEBS
) -> list[dict[str, Any]]:
    """Return what `read_published` does, without blocking."""
    return _parsed(await among.read_async(client))


def _parsed(texts: Iterable[bytes]) -> list[dict[str, Any]]:
    documents = [msgspec.json.decode(text) for text in texts]
    return sorted(documents, key=lambda document: str(document["id"]))
