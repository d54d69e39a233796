"""Pool of the replicas of one version, and the queries that wait for one."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from serving.engine.batching.planner import ServiceTime
from serving.engine.gather import Call
from serving.engine.outcome import (
    CANCELLED,
    EXPIRED,
    NOT_CONNECTED,
    OVERLOADED,
    QUARANTINED,
    REPLICA_LOST,
    SATURATED,
    Outcome,
)
from serving.engine.quarantine import Quarantine, Suspicion
from serving.engine.queue import CallQueue
from serving.engine.replica import Batch, Replica
from serving.engine.stats import VersionStats

Settle = Callable[[Call, Outcome], None]

# Batches in a row of which nothing was answered, while other replicas of the version succeeded.
FAILURES_TO_EJECT = 5

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Health:
    """Failures of one replica: it is ejected if it alone keeps failing, then let back in."""

    back_at: float = 0.0
    failures: int = 0
    ejections: int = 0
    others_before: int = 0

    def failed(self, *, successes: int) -> bool:
        """Note a batch that failed whole; return whether to eject the replica.

        `successes` counts the batches of all replicas: if the others fail too, the reason is the
        model or the input.
        """
        if self.failures == 0:
            self.others_before = successes
        self.failures += 1
        return self.failures >= FAILURES_TO_EJECT and successes > self.others_before

    def eject(self, *, now: float) -> None:
        """Set when it may come back: after a second, then twice as long each time, up to 30 s."""
        self.back_at = now + min(30.0, 2.0**self.ejections)
        self.ejections = min(self.ejections + 1, 5)

    def readmit(self, *, successes: int) -> None:
        """Let it back on probation: one more failed batch ejects it again."""
        self.failures = FAILURES_TO_EJECT - 1
        self.others_before = successes


class VersionPool:
    """Hands each query to the replica that should answer first; without one, queries wait here.

    It compares two replicas drawn at random (Mitzenmacher 2001). One of them is the replica that
    took the query before while it fills a batch, so that queries of one turn of the loop share it.
    """

    def __init__(
        self,
        *,
        backlog: CallQueue,
        settle: Settle,
        stats: VersionStats,
        clock: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        self.settle = settle
        self.clock = clock
        self.stats = stats
        self.service = ServiceTime()
        self._replicas: list[Replica] = []
        self._ejected: list[Replica] = []
        self._health: dict[Replica, Health] = {}
        self._draining: set[Replica] = set()
        self._successes = 0
        self._backlog = backlog
        self._quarantine = Quarantine(capacity=backlog.capacity, max_bytes=backlog.max_bytes)
        self._abandoned = False
        self._draw = draw
        self._filling: Replica | None = None  # who took the last query

    @property
    def connected(self) -> bool:
        return bool(self._health)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All that are connected, the ejected ones too."""
        return tuple(self._health)

    @property
    def waiting(self) -> int:
        apart = self._quarantine.rows
        return self._backlog.rows + apart + sum(replica.waiting for replica in self._health)

    @property
    def in_flight(self) -> int:
        return sum(replica.in_flight for replica in (*self._health, *self._draining))

    @property
    def suspicions(self) -> Collection[Suspicion]:
        return self._quarantine.suspicions.values()

    def submit(self, call: Call) -> None:
        """Queue the call, or settle it at once if it cannot be answered in time."""
        if self._quarantine.suspicions and self._keeps_apart(call):
            return
        replicas = self._replicas
        if not replicas:
            self._wait(call)
            return
        replica = replicas[0] if len(replicas) == 1 else self._choose(now=call.asked_at)
        if replica.queue.rows + replica.in_flight >= replica.planner.ample_rows:
            now = self.clock()
            if replica.too_late_for(call, now=now):
                # Two slow ones may have been drawn.
                in_time = [r for r in replicas if not r.too_late_for(call, now=now)]
                if not in_time:
                    self.settle(call, OVERLOADED)
                    return
                replica = in_time[0]
        replica.enqueue(call)

    def seconds_behind_all(self) -> float:
        """Return the expected seconds until the quickest replica answers a query queued now."""
        now = self.clock()
        expected = [r.seconds_until_answer(behind=r.waiting, now=now) for r in self._replicas]
        return min(expected, default=0.0)

    def add(self, replica: Replica) -> None:
        self._health[replica] = Health()
        self._replicas.append(replica)
        self.take_back(self._backlog.clear())
        self._ask_apart()

    def abandon(self) -> None:
        """Settle all that waits for a replica: none is coming."""
        self._abandoned = True
        for call in (*self._backlog.clear(), *self._quarantine.clear()):
            self.settle(call, NOT_CONNECTED)

    def sweep(self, *, now: float) -> None:
        """Settle expired calls, and readmit replicas that were ejected long enough."""
        for call in self._backlog.drop_left():
            self.settle(call, CANCELLED)
        for call in self._backlog.drop_expired(now=now):
            self.settle(call, NOT_CONNECTED)
        for call in self._quarantine.drop(now=now):
            self.settle(call, EXPIRED if call.wanted else CANCELLED)
        self._quarantine.forget(now=now)
        for replica in (*self._health, *self._draining):
            replica.sweep(now=now)
            if replica.abort_if_hung(now=now):
                logger.warning("replica hangs, link cut id=%s", replica.id)
        for replica in [
            replica for replica in self._ejected if self._health[replica].back_at <= now
        ]:
            self._readmit(replica)

    # What its replicas call (see replica.Owner).

    def take_back(self, calls: Iterable[Call]) -> None:
        """Give calls that were not sent to another replica."""
        for call in calls:
            self.submit(call)

    def lost(self, calls: list[Call], *, blamed: list[Call]) -> None:
        """Ask again what a replica died with: the `blamed` apart, the others as before.

        Another one that loses a second replica is given up.
        """
        guilty = set(self._quarantine.blame(blamed, now=self.clock()))
        for call in blamed:
            call.sent = False
            if call in guilty:
                logger.warning("input quarantined: replicas died of it, bytes=%d", len(call.input))
                self.settle(call, QUARANTINED)
            else:
                self._ask_again(call)
        for call in calls:
            if call.retried:
                self.settle(call, REPLICA_LOST)
            else:
                call.retried, call.sent = True, False
                self._ask_again(call)
        self._ask_apart()

    def answered_apart(self, calls: list[Call]) -> None:
        """These did no harm; the next ones may be asked."""
        self._quarantine.acquit(calls)
        self._ask_apart()

    def drains(self, replica: Replica) -> None:
        """It takes no more, but still has to answer what it was sent."""
        self.left(replica)
        self._draining.add(replica)

    def left(self, replica: Replica) -> None:
        self._draining.discard(replica)
        self._health.pop(replica, None)
        self._filling = None
        for group in (self._replicas, self._ejected):
            if replica in group:
                group.remove(replica)
        if not self._replicas:
            for ejected in list(self._ejected):
                self._readmit(ejected)

    def batch_done(
        self,
        replica: Replica,
        batch: Batch,
        *,
        seconds: float,
        model_seconds: float,
        failed: bool,
    ) -> None:
        waits = [batch.sent_at - call.asked_at for call in batch.calls]
        self.stats.record_batch(waits=waits, seconds=seconds, model_seconds=model_seconds)
        health = self._health.get(replica)
        if health is None:
            return
        if not failed:
            self._successes += 1
            health.failures = health.ejections = 0
        elif health.failed(successes=self._successes) and len(self._replicas) > 1:
            self._eject(replica, health=health)

    def _ask_again(self, call: Call) -> None:
        if call.wanted:
            self.submit(call)
        else:
            self.settle(call, CANCELLED)

    def _keeps_apart(self, call: Call) -> bool:
        """Keep a call out of the queues that may be what replicas die of; return whether it is."""
        suspicion = self._quarantine.suspicion_of(call)
        if suspicion is None:
            return False
        if suspicion.refused_until > self.clock():
            self.settle(call, QUARANTINED)
        elif self._abandoned:
            self.settle(call, NOT_CONNECTED)
        elif self._quarantine.wait(call):
            asyncio.get_running_loop().call_soon(self._ask_apart)
        else:
            self.settle(call, SATURATED)
        return True

    def _ask_apart(self) -> None:
        """Have the least busy replica ask the next suspects."""
        if not self._replicas or any(
            replica.asks_apart for replica in (*self._health, *self._draining)
        ):
            return
        now = self.clock()
        for call in self._quarantine.drop(now=now):
            self.settle(call, EXPIRED if call.wanted else CANCELLED)
        group = self._quarantine.next_group()
        if group:
            min(self._replicas, key=lambda replica: replica.in_flight).ask_apart(group)

    def _choose(self, *, now: float) -> Replica:
        replicas = self._replicas
        # One with a batch to fill may answer later: a further batch costs this process some 80 µs.
        either, margin = self._filling, 1.25
        if either is None or not _fills_batch(either):
            either, margin = replicas[int(self._draw() * len(replicas))], 1.0
        other = replicas[int(self._draw() * (len(replicas) - 1))]
        if other is either:
            other = replicas[-1]
        later = either.seconds_until_answer(behind=either.queue.rows, now=now)
        if later > margin * other.seconds_until_answer(behind=other.queue.rows, now=now):
            either = other
        self._filling = either
        return either

    def _eject(self, replica: Replica, *, health: Health) -> None:
        if replica not in self._replicas:
            return
        health.eject(now=self.clock())
        self.stats.ejected += 1
        self._replicas.remove(replica)
        self._filling = None
        self._ejected.append(replica)
        logger.warning("replica ejected id=%s: it keeps failing while others answer", replica.id)
        replica.hand_back_queue()

    def _readmit(self, replica: Replica) -> None:
        self._ejected.remove(replica)
        self._replicas.append(replica)
        self._health[replica].readmit(successes=self._successes)
        logger.info("replica readmitted id=%s", replica.id)

    def _wait(self, call: Call) -> None:
        if self._abandoned:
            self.settle(call, NOT_CONNECTED)
            return
        for expired in self._backlog.drop_expired(now=self.clock()) if self._backlog.full else ():
            self.settle(expired, NOT_CONNECTED)
        for evicted in self._backlog.push(call):
            self.settle(evicted, SATURATED)


def _fills_batch(replica: Replica) -> bool:
    """Return whether rows wait there for the end of this turn, with room in their batch."""
    return replica.flush_scheduled and 0 < replica.queue.rows < replica.planner.cap
