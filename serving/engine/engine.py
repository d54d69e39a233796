"""The model abstraction layer (paper §4): one model version behaves like one fast function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, KeysView, Mapping
from dataclasses import dataclass, field
from functools import partial
from os import urandom
from random import random
from struct import Struct
from time import monotonic

from core.specs import BatchingSpec, VersionSpec
from serving.engine.batching.planner import BatchPlanner
from serving.engine.cache import PredictionCache
from serving.engine.gather import CACHED, ORDINARY, Call, CallOptions, Gather
from serving.engine.outcome import NOT_CONNECTED, Outcome, Status
from serving.engine.pool import VersionPool
from serving.engine.quarantine import Suspicion
from serving.engine.queue import CallQueue
from serving.engine.replica import Link, Replica
from serving.engine.stats import VersionStats
from serving.rpc.frames.hello import Hello

CACHE_PREFIX, DIGEST = Struct("<QI"), Struct("<qq")
SALT = urandom(16)
# Looked up once, not for each call.
_OK = Status.OK
# Where a call that was not answered is counted.
_COUNTERS = {
    Status.MODEL_FAILED: "failed",
    Status.SATURATED: "saturated",
    Status.OVERLOADED: "overloaded",
    Status.REPLICA_LOST: "lost",
    Status.EXPIRED: "expired",
    Status.CANCELLED: "cancelled",
    Status.QUARANTINED: "quarantined",
    Status.INVALID_INPUT: "refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """Bounds of one engine; `batch_budget_s` replaces the budget from the objectives."""

    cache_bytes: int = 16 << 20
    queue_capacity: int = 10_000
    queue_bytes: int = 64 << 20
    max_batch: int = 4096
    batch_budget_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSettings:
    """Batching and objective of a version; the default is for one without a route."""

    batching: BatchingSpec = field(default_factory=BatchingSpec)
    answer_within_s: float = 0.048


DEFAULT_SETTINGS = VersionSettings()


@dataclass(frozen=True, slots=True)
class Target:
    """A version, and the prefix of its keys in the prediction cache."""

    version: VersionSpec
    key_prefix: bytes

    @classmethod
    def of(cls, version: VersionSpec) -> Target:
        return cls(version, CACHE_PREFIX.pack(version.id, version.generation))


def digest_of(input: bytes) -> bytes:
    """Return 128 bits that identify an input in this process.

    They are two SipHashes of Python with a random key, so that nobody can construct a collision.
    SHA-256 takes twice as long, which was a sixth of a cache hit.
    """
    return DIGEST.pack(hash(input), hash(SALT + input))


class Engine:
    """Answers from the cache, joins identical calls in flight, or queues for a replica.

    It is synchronous and runs on one event loop; a Gather waits. Times are those of `clock`; `draw`
    returns random numbers from 0 up to 1.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random,
    ) -> None:
        self.clock = clock
        self.cache = PredictionCache(budget=spec.cache_bytes)
        self.stats: dict[int, VersionStats] = {}
        self._spec = spec
        self._draw = draw
        self._pools: dict[int, VersionPool] = {}
        self._in_flight: dict[bytes, Call] = {}
        self._settings: dict[int, VersionSettings] = {}
        # Stands in for the pool of a version that nobody runs.
        self._empty = self._new_pool(VersionStats())

    def ask(
        self,
        gather: Gather,
        targets: Iterable[Target],
        *,
        input: bytes,
        deadline: float,
        options: CallOptions = ORDINARY,
        first: int = 0,
    ) -> None:
        """Ask these versions about `input` (JSON text); outcomes arrive from index `first` on."""
        now = self.clock()
        digest = digest_of(input) if options.cached else None
        index, since = first - 1, now - options.max_age
        for target in targets:
            index += 1
            pool = self._pools.get(target.version.id)
            if pool is None:
                gather.arrive(index, NOT_CONNECTED)
                continue
            key = None
            if digest is not None:
                key = target.key_prefix + digest
                cached = self.cache.get(key, since=since)
                if cached is not None:
                    pool.stats.hits += 1
                    if gather.traces is not None:
                        gather.trace(index, CACHED)
                    gather.arrive(index, Outcome(_OK, cached))
                    continue
                known = self._in_flight.get(key)
                # While it still waits it does so in its own application's lane.
                if (
                    known is not None
                    and known.deadline > now
                    and (
                        known.sent
                        or (known.tenant, known.priority) == (options.tenant, options.priority)
                    )
                ):
                    pool.stats.joined += 1
                    known.join(gather, index=index, deadline=deadline)
                    continue
            pool.stats.misses += 1
            # By position: names would cost 0.2 µs for each object that is made.
            call = Call(gather, index, key, input, now, deadline, options)
            if key is not None:
                self._in_flight[key] = call
            pool.submit(call)

    @property
    def joinable(self) -> KeysView[bytes]:
        """Return the keys of unsettled calls, which an identical one may join."""
        return self._in_flight.keys()

    # Replicas coming and going.

    def connected(self, version_id: int) -> bool:
        return self._pool(version_id).connected

    def expect(self, version_ids: Iterable[int]) -> None:
        """Let queries for these versions wait for a replica; those for any other fail at once."""
        expected = set(version_ids)
        for version_id in expected - self._pools.keys():
            stats = self.stats.setdefault(version_id, VersionStats())
            self._pools[version_id] = self._new_pool(stats)
        for version_id in self._pools.keys() - expected:
            pool = self._pools[version_id]
            if not pool.connected:
                del self._pools[version_id]
                pool.abandon()
                self._forget_unknown(version_id)

    def add_replica(self, hello: Hello, connection: Link) -> Replica:
        """Take a freshly connected replica into service."""
        if hello.version_id not in self._pools:
            self.expect((*self._pools, hello.version_id))
        pool = self._pools[hello.version_id]
        settings = self._settings.get(hello.version_id, DEFAULT_SETTINGS)
        replica = Replica(
            hello=hello,
            connection=connection,
            planner=BatchPlanner(
                batching=settings.batching,
                answer_within=settings.answer_within_s,
                max_batch=self._spec.max_batch,
                common=pool.service,
                fixed_budget=self._spec.batch_budget_s,
            ),
            queue=self._new_queue(),
            owner=pool,
        )
        pool.add(replica)
        return replica

    def sweep(self) -> None:
        """Drop what expired while waiting, and replicas that hang; call it about once a second."""
        now = self.clock()
        for pool in list(self._pools.values()):
            pool.sweep(now=now)

    def configure(self, settings: Mapping[int, VersionSettings | None]) -> None:
        """Follow changed settings, for connected replicas too; None forgets a version."""
        for version_id, version in settings.items():
            if version is None:
                self._settings.pop(version_id, None)
                self._forget_unknown(version_id)
            else:
                self._settings[version_id] = version
            wanted = version or DEFAULT_SETTINGS
            for replica in self._pool(version_id).replicas:
                replica.planner.configure(
                    batching=wanted.batching, answer_within=wanted.answer_within_s
                )

    def is_counted(self, version_id: int) -> bool:
        """Return whether a version has a replica here or has been asked."""
        stats = self.stats.get(version_id)
        asked = stats is not None and (stats.misses or stats.hits or stats.joined)
        return bool(asked) or self.connected(version_id)

    def _forget_unknown(self, version_id: int) -> None:
        """Drop the counts of a version that is neither in the registry nor asked."""
        if version_id not in self._settings and version_id not in self._pools:
            self.stats.pop(version_id, None)

    def rows_at_once(self, version_id: int) -> int:
        """Return how many rows of large batches this version's replicas take at once."""
        return sum(replica.planner.bulk_cap for replica in self._pool(version_id).replicas)

    def waiting(self, version_id: int) -> int:
        """Return how many rows wait for a replica of this version."""
        return self._pool(version_id).waiting

    def in_flight(self, version_id: int) -> int:
        """Return how many rows this version's replicas are working on."""
        return self._pool(version_id).in_flight

    def suspicions(self, version_id: int) -> Collection[Suspicion]:
        """Return the inputs that this version's replicas may have died of."""
        return self._pool(version_id).suspicions

    def seconds_behind(self, version_id: int) -> float:
        """Return the expected seconds until a query that is queued now is answered."""
        return self._pool(version_id).seconds_behind_all()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.abandon()
            for replica in pool.replicas:
                replica.close()

    def _pool(self, version_id: int) -> VersionPool:
        return self._pools.get(version_id, self._empty)

    def _new_queue(self) -> CallQueue:
        return CallQueue(capacity=self._spec.queue_capacity, max_bytes=self._spec.queue_bytes)

    def _new_pool(self, stats: VersionStats) -> VersionPool:
        return VersionPool(
            backlog=self._new_queue(),
            settle=partial(self.settle, stats),
            stats=stats,
            clock=self.clock,
            draw=self._draw,
        )

    def settle(self, stats: VersionStats, call: Call, outcome: Outcome) -> None:
        """End a call: remember a good answer, late or not, and hand out the outcome."""
        key = call.key
        if key is not None:
            known = self._in_flight.pop(key, None)
            if known is not None and known is not call:
                self._in_flight[key] = known
        if outcome.status != _OK:
            counter = _COUNTERS.get(Status(outcome.status))
            if counter is not None:
                setattr(stats, counter, getattr(stats, counter) + 1)
        elif key is not None:
            self.cache.put(key, outcome.payload, now=self.clock())
        call.answer(outcome)
