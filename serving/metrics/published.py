"""Counters of a web process, and the documents with which processes share them.

Each process publishes its numbers in Redis once a second (`clipper:web:{id}`, gone 5 s after the
process), for any process to read.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
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
from serving.metrics.window import Delta, RateWindow

KEY_PREFIX = "clipper:web:"
INDEX = "clipper:webs"
WEBS = ExpiringKeys(index=INDEX, prefix=KEY_PREFIX)
# Console processes answer no queries, so they are read apart.
CONSOLES = ExpiringKeys(index="clipper:consoles", prefix="clipper:console:")

# A call ends with a status, or at the deadline without any.
NO_OUTCOME = len(Status)


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
    # By arm, how often a call ended in each way.
    endings: dict[str, list[int]] = field(default_factory=dict)

    def count_arms(self, arms: Sequence[str], outcomes: Sequence[Outcome | None]) -> None:
        """Count how the calls of one query have ended."""
        endings = self.endings
        for arm, outcome in zip(arms, outcomes, strict=True):
            counts = endings.get(arm)
            if counts is None:
                counts = endings[arm] = [0] * (NO_OUTCOME + 1)
            counts[NO_OUTCOME if outcome is None else outcome.status] += 1

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
        }

    def count(self, counter: str) -> None:
        setattr(self, counter, getattr(self, counter) + 1)

    def record(self, *, seconds: float, default: bool, slo_ms: float) -> None:
        self.queries += 1
        self.seconds.observe(seconds)
        if default:
            self.defaults += 1
        if seconds * 1e3 > slo_ms:
            self.late += 1


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
            for arm in stats.endings.keys() - set(arms):
                del stats.endings[arm]

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


async def publish(client: Redis, document: dict[str, Any], *, among: ExpiringKeys = WEBS) -> None:
    """Publish a document in place of its process' last one."""
    async with client.pipeline(transaction=True) as pipe:
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
