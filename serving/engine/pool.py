"""The replicas of one version, and the queries that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic

from serving.engine.outcome import NOT_CONNECTED, REPLICA_LOST, SATURATED, Outcome
from serving.engine.questions import Call
from serving.engine.replica import Replica
from serving.engine.stats import VersionStats

Settle = Callable[[Call, Outcome], None]


class VersionPool:
    """Hands each query to the least loaded replica; while there is none, queries wait here."""

    def __init__(self, *, capacity: int, settle: Settle, stats: VersionStats) -> None:
        self.settle = settle
        self.stats = stats
        self._capacity = capacity
        self._replicas: list[Replica] = []
        self._backlog: deque[Call] = deque()

    @property
    def connected(self) -> bool:
        return bool(self._replicas)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        return tuple(self._replicas)

    @property
    def queued(self) -> int:
        return len(self._backlog) + sum(replica.load for replica in self._replicas)

    def submit(self, call: Call) -> None:
        """Queue the call, or settle it as saturated where the queue is full."""
        replicas = self._replicas
        if not replicas:
            self._wait(call)
            return
        replica = replicas[0] if len(replicas) == 1 else min(replicas, key=_load)
        if replica.load >= self._capacity:
            self.stats.saturated += 1
            self.settle(call, SATURATED)
        else:
            replica.enqueue(call)

    def add(self, replica: Replica) -> None:
        self._replicas.append(replica)
        backlog = list(self._backlog)
        self._backlog.clear()
        for call in backlog:
            self.submit(call)

    def abandon(self) -> None:
        """No replica is coming: settle what waits for one."""
        backlog = list(self._backlog)
        self._backlog.clear()
        for call in backlog:
            self.settle(call, NOT_CONNECTED)

    def drop_expired(self) -> None:
        """Settle what has waited for a replica past its deadline."""
        now = monotonic()
        expired = [call for call in self._backlog if call.deadline <= now]
        if expired:
            self._backlog = deque(call for call in self._backlog if call.deadline > now)
        for call in expired:
            self.settle(call, NOT_CONNECTED)

    # What its replicas call (see replica.Owner).

    def take_back(self, calls: Iterable[Call], *, lost: bool) -> None:
        """Give unanswered calls to another replica; one that was lost before is given up.

        A call may have been what killed its replica, so it is tried on a second one only.
        """
        for call in calls:
            if lost and call.retried:
                self.stats.lost += 1
                self.settle(call, REPLICA_LOST)
            else:
                call.retried = call.retried or lost
                self.submit(call)

    def left(self, replica: Replica) -> None:
        if replica in self._replicas:
            self._replicas.remove(replica)

    def batch_done(self, *, size: int, seconds: float, model_seconds: float) -> None:
        self.stats.record_batch(size=size, seconds=seconds, model_seconds=model_seconds)

    def _wait(self, call: Call) -> None:
        if len(self._backlog) >= self._capacity:
            self.drop_expired()
        if len(self._backlog) >= self._capacity:
            self.stats.saturated += 1
            self.settle(call, SATURATED)
        else:
            self._backlog.append(call)


def _load(replica: Replica) -> int:
    return replica.load
