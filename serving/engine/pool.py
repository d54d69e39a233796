"""The replicas of one version, and the queries that wait for one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from random import random
from time import monotonic

from serving.engine.health import Health
from serving.engine.outcome import (
    CANCELLED,
    NOT_CONNECTED,
    OVERLOADED,
    REPLICA_LOST,
    SATURATED,
    Outcome,
)
from serving.engine.questions import Call
from serving.engine.queue import CallQueue
from serving.engine.replica import Batch, Done, Replica
from serving.engine.service_time import ServiceTime
from serving.engine.stats import VersionStats

Settle = Callable[[Call, Outcome], None]

logger = logging.getLogger(__name__)


class VersionPool:
    """Hands each query to the replica that should answer it first; with none, queries wait here.

    Of more than two replicas it looks at two, drawn at random: almost as good as looking at all,
    and no crowd runs to the one that was idle a moment ago (Mitzenmacher 2001).
    """

    def __init__(self, *, capacity: int, settle: Settle, stats: VersionStats) -> None:
        self.settle = settle
        self.stats = stats
        self.service = ServiceTime()
        self._replicas: list[Replica] = []
        self._ejected: list[Replica] = []
        self._health: dict[Replica, Health] = {}
        self._draining: set[Replica] = set()
        self._successes = 0
        self._backlog = CallQueue(capacity=capacity)
        self._abandoned = False

    @property
    def connected(self) -> bool:
        return bool(self._health)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All that are connected, the ejected ones too."""
        return tuple(self._health)

    @property
    def waiting(self) -> int:
        return len(self._backlog) + sum(replica.waiting for replica in self._health)

    @property
    def in_flight(self) -> int:
        return sum(replica.in_flight for replica in (*self._health, *self._draining))

    def submit(self, call: Call) -> None:
        """Queue the call, or settle it at once where it cannot be answered in time."""
        replicas = self._replicas
        if not replicas:
            self._wait(call)
            return
        replica = replicas[0] if len(replicas) == 1 else self._better_of_two(now=call.asked_at)
        if not replica.busy:
            replica.enqueue(call)
            return
        now = monotonic()
        if replica.too_late_for(call, now=now):
            # Two slow ones may have been drawn, so the others are asked too.
            others = (r for r in replicas if not (r.busy and r.too_late_for(call, now=now)))
            in_time = next(others, None)
            if in_time is None:
                self.settle(call, OVERLOADED)
                return
            replica = in_time
        replica.enqueue(call)

    def seconds_behind_all(self) -> float:
        """Return when a query that waits its turn should be answered by the quickest replica."""
        now = monotonic()
        expected = [r.seconds_until_answer(behind=r.waiting, now=now) for r in self._replicas]
        return min(expected, default=0.0)

    def add(self, replica: Replica) -> None:
        self._health[replica] = Health()
        self._replicas.append(replica)
        self._submit_all(self._backlog.clear())

    def abandon(self) -> None:
        """No replica is coming: settle what waits for one, and what one that leaves hands back."""
        self._abandoned = True
        for call in self._backlog.clear():
            self.settle(call, NOT_CONNECTED)

    def sweep(self, *, now: float) -> None:
        """Settle what has waited past its deadline; let back who was ejected long enough."""
        for call in self._backlog.drop_left():
            self.settle(call, CANCELLED)
        for call in self._backlog.drop_expired(now=now):
            self.settle(call, NOT_CONNECTED)
        for replica in (*self._health, *self._draining):
            replica.sweep(now=now)
            if replica.abort_if_hung(now=now):
                logger.warning("replica hangs, link cut id=%s", replica.id)
        for replica in [one for one in self._ejected if self._health[one].back_at <= now]:
            self._readmit(replica)

    # What its replicas call (see replica.Owner).

    def take_back(self, calls: Iterable[Call], *, lost: bool) -> None:
        """Give unanswered calls to another replica; one that was lost before is given up.

        A call may have been what killed its replica, so it is tried on a second one only.
        """
        if not lost:
            self._submit_all(calls)
            return
        for call in calls:
            if not call.wanted:
                self.settle(call, CANCELLED)
            elif call.retried:
                self.settle(call, REPLICA_LOST)
            else:
                call.retried = True
                call.sent = False
                self.submit(call)

    def drains(self, replica: Replica) -> None:
        """It takes no more, but still has to answer what it was sent."""
        self.left(replica)
        self._draining.add(replica)

    def left(self, replica: Replica) -> None:
        self._draining.discard(replica)
        self._health.pop(replica, None)
        for group in (self._replicas, self._ejected):
            if replica in group:
                group.remove(replica)
        if not self._replicas:
            for ejected in list(self._ejected):
                self._readmit(ejected)

    def batch_done(self, replica: Replica, batch: Batch, done: Done) -> None:
        self.stats.record_batch(
            waits=[batch.sent_at - call.asked_at for call in batch.calls],
            seconds=done.seconds,
            model_seconds=done.model_seconds,
        )
        health = self._health.get(replica)
        if health is None:
            return
        if not done.failed:
            self._successes += 1
            health.succeeded()
        elif health.failed(successes=self._successes) and len(self._replicas) > 1:
            self._eject(replica, health=health)

    def _better_of_two(self, *, now: float) -> Replica:
        replicas = self._replicas
        count = len(replicas)
        first = int(random() * count)  # noqa: S311
        second = int(random() * (count - 1))  # noqa: S311
        one, other = replicas[first], replicas[second + (second >= first)]
        if one.handicapped_seconds(now=now) <= other.handicapped_seconds(now=now):
            return one
        return other

    def _eject(self, replica: Replica, *, health: Health) -> None:
        if replica not in self._replicas:
            return
        health.eject(now=monotonic())
        self.stats.ejected += 1
        self._replicas.remove(replica)
        self._ejected.append(replica)
        logger.warning("replica ejected id=%s: it keeps failing while others answer", replica.id)
        replica.hand_back_queue()

    def _readmit(self, replica: Replica) -> None:
        self._ejected.remove(replica)
        self._replicas.append(replica)
        self._health[replica].readmit(successes=self._successes)
        logger.info("replica readmitted id=%s", replica.id)

    def _submit_all(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self.submit(call)

    def _wait(self, call: Call) -> None:
        if self._abandoned:
            self.settle(call, NOT_CONNECTED)
            return
        for expired in self._backlog.drop_expired(now=monotonic()) if self._backlog.full else ():
            self.settle(expired, NOT_CONNECTED)
        evicted = self._backlog.push(call)
        if evicted is not None:
            self.settle(evicted, SATURATED)
