"""The model abstraction layer (paper §4): one model version behaves like one fast function."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from registry.specs import VersionSpec
from serving.engine.batching import Aimd
from serving.engine.cache import PredictionCache
from serving.engine.outcome import NOT_CONNECTED, Outcome, Status
from serving.engine.pool import VersionPool
from serving.engine.questions import Call, Question
from serving.engine.replica import Replica
from serving.engine.stats import VersionStats
from serving.rpc.connection import Connection
from serving.rpc.frames import Hello

DEFAULT_BATCH_BUDGET = 0.020

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """Bounds of one engine: cache in bytes, queue per replica and batch in queries."""

    cache_bytes: int = 64 << 20
    queue_capacity: int = 10_000
    max_batch: int = 4096


class Engine:
    """Answers from the cache, joins identical calls in flight, or queues for a replica.

    Everything here is synchronous and runs on one event loop; a Question does the waiting.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self.cache = PredictionCache(budget=spec.cache_bytes)
        self.stats: dict[int, VersionStats] = {}
        self._spec = spec
        self._pools: dict[int, VersionPool] = {}
        self._in_flight: dict[bytes, Call] = {}
        self._budgets: dict[int, float] = {}

    def ask(
        self,
        version: VersionSpec,
        *,
        key: bytes,
        input: bytes,
        deadline: float,
        question: Question,
        index: int,
    ) -> None:
        """Get `version`'s answer to `input` (raw JSON text) to `question` as outcome `index`.

        `key` names version, generation and input; `deadline` is on the monotonic clock.
        """
        pool = self._pools.get(version.id)
        if pool is None:
            question.arrive(index, NOT_CONNECTED)
            return
        stats = pool.stats
        cached = self.cache.get(key)
        if cached is not None:
            stats.hits += 1
            question.arrive(index, Outcome(Status.OK, cached))
            return
        call = self._in_flight.get(key)
        if call is not None and call.deadline > monotonic():
            stats.joined += 1
            call.join(question, index=index, deadline=deadline)
            return
        stats.misses += 1
        call = self._in_flight[key] = Call(key=key, input=input, deadline=deadline)
        call.join(question, index=index, deadline=deadline)
        pool.submit(call)

    # Replicas coming and going.

    def connected(self, version_id: int) -> bool:
        pool = self._pools.get(version_id)
        return pool is not None and pool.connected

    def expect(self, version_ids: Iterable[int]) -> None:
        """Queries for these versions wait for a replica; those for any other fail at once."""
        expected = set(version_ids)
        for version_id in expected - self._pools.keys():
            self._pools[version_id] = self._new_pool(version_id)
        for version_id in self._pools.keys() - expected:
            pool = self._pools[version_id]
            if not pool.connected:
                del self._pools[version_id]
                pool.abandon()

    def add_replica(self, hello: Hello, connection: Connection) -> Replica:
        """Take a freshly connected replica into service."""
        pool = self._pools.get(hello.version_id)
        if pool is None:
            pool = self._pools[hello.version_id] = self._new_pool(hello.version_id)
        replica = Replica(
            hello=hello,
            connection=connection,
            controller=Aimd(
                budget=self._budgets.get(hello.version_id, DEFAULT_BATCH_BUDGET),
                max_size=self._spec.max_batch,
            ),
            owner=pool,
        )
        pool.add(replica)
        return replica

    def sweep(self) -> None:
        """Once a second or so: let go of what expired waiting and of replicas that hang."""
        now = monotonic()
        for pool in self._pools.values():
            pool.drop_expired()
            for replica in pool.replicas:
                if replica.abort_if_hung(now=now):
                    logger.warning("replica hangs, link cut id=%s", replica.id)

    def set_batch_budgets(self, budgets: dict[int, float]) -> None:
        """Give each version's controllers the seconds that one batch may take."""
        self._budgets = budgets
        for version_id, pool in self._pools.items():
            for replica in pool.replicas:
                replica.controller.budget = budgets.get(version_id, DEFAULT_BATCH_BUDGET)

    def queued(self, version_id: int) -> int:
        pool = self._pools.get(version_id)
        return 0 if pool is None else pool.queued

    def close(self) -> None:
        for pool in self._pools.values():
            pool.abandon()
            for replica in pool.replicas:
                replica.close()

    def _new_pool(self, version_id: int) -> VersionPool:
        stats = self.stats.setdefault(version_id, VersionStats())

        def settle(call: Call, outcome: Outcome) -> None:
            self._settle(call, outcome, stats)

        return VersionPool(capacity=self._spec.queue_capacity, settle=settle, stats=stats)

    def _settle(self, call: Call, outcome: Outcome, stats: VersionStats) -> None:
        """A call has ended: remember a good answer, late or not, and tell who waits."""
        if self._in_flight.get(call.key) is call:
            del self._in_flight[call.key]
        if outcome.status == Status.OK:
            self.cache.put(call.key, outcome.payload)
        elif outcome.status == Status.MODEL_FAILED:
            stats.failed += 1
        elif outcome.status == Status.EXPIRED:
            stats.expired += 1
        call.answer(outcome)
