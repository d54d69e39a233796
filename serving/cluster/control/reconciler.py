"""Makes the live replicas the wanted ones: looks at both each second and starts the difference."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import msgspec
from django.db.models import F
from django.utils import timezone

from registry import services
from registry.models import AuditEntry, ModelVersion
from registry.releases.control import Slots
from serving.cluster.control.ages import Ages
from serving.cluster.control.checks.check_queue import Checks
from serving.cluster.control.demands import read_demands
from serving.cluster.control.moves.replica_moves import ReplicaMoves, replica_moves
from serving.cluster.control.placement import Placement, slots_needed
from serving.cluster.control.releases.open_releases import Cluster, Releases
from serving.cluster.control.replica_plan import (
    KINDS,
    Demand,
    Plan,
    plan,
    replica_to_preempt,
    version_to_evict,
)
from serving.cluster.control.scaling.autoscaling import Scaling
from serving.cluster.failures.endings import record_replica
from serving.cluster.failures.failure_counts import FailureCounts
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.seals import Refusals
from serving.cluster.membership.views import VIEWS, WebView, reached, read_views
from serving.cluster.membership.workers import WORKERS, WorkerRecord, read_workers
from serving.cluster.queues import queue_at

if TYPE_CHECKING:
    import redis

# A record whose seal doesn't fit is shown for this long.
REFUSED_KEPT_S = 60.0

logger = logging.getLogger(__name__)


class Reconciler:
    """One process's view of the cluster; only one may run at a time, its caller sees to that."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        directory: Directory,
        start_replica: Callable[[ReplicaRecord], object],
        begin_check: Callable[[int], object],
        most_checks: int,
    ) -> None:
        self._redis = client
        self._directory = directory
        self._refusals = Refusals()
        self._failures = FailureCounts(client)
        self._ages = Ages()
        checks = Checks(client, begin=begin_check, ages=self._ages, most=most_checks)
        self._releases = Releases(client, checks=checks, ages=self._ages)
        self._scaling = Scaling(client)
        self._start_replica = start_replica
        # As of the last round, by kind of device.
        self.slots: dict[str, Slots] = {}

    def run(self, *, now: float) -> Plan:
        """Do one round at this monotonic time; returns what it did."""
        server = cast("dict[str, int]", self._redis.info("server"))
        # Replicas get this long to write themselves down again in a Redis that comes back.
        if server["uptime_in_seconds"] < 3:
            return Plan()
        self._ages.begin_round()
        self._directory.forget_expired()
        VIEWS.forget_gone(self._redis)
        WORKERS.forget_gone(self._redis)
        listing = self._directory.look()
        self._refuse(listing.refused, now=now)
        views, workers = read_views(self._redis), read_workers(self._redis)
        records = self._without_lost(listing.records, workers=workers, now=now)
        records = self._with_drain_requests(records)
        self._releases.advance(Cluster(records=records, views=views, workers=workers, now=now))
        moment = timezone.now()
        fallbacks = self._keep_fallbacks(records, views=views, moment=moment)
        self._scaling.run(records=records, now=moment.timestamp())
        demands = read_demands(moment=moment)
        self.slots = slots_needed(demands=demands, workers=workers)
        retiring = {worker.id for worker in workers if worker.retiring}
        # That a replica leaves proves nothing of the next one.
        self._note_success(demands, records=[r for r in records if r.worker not in retiring])
        placement = Placement(
            workers=workers,
            records=records,
            failed_on=self._failures.held_back(
                [demand.version_id for demand in demands],
                host_ids={worker.host_id for worker in workers if not worker.retiring},
            ),
        )
        moving = replica_moves(
            demands,
            records=records,
            retiring=retiring,
            reached={r.id for r in records if all(view.has_proven(r.id) for view in views)},
            full={
                kind
                for kind in KINDS
                if placement.is_full(kind) and self._ages.of(kind, now=now) > 10.0
            },
        )
        steps = plan(
            demands=moving.demands,
            records=records,
            held_back={demand.version_id for demand in demands if placement.is_held_back(demand)},
        )
        steps = replace(steps, drains=(*steps.drains, *moving.drains))
        steps, waiting = self._carry_out(steps, moving=moving, placement=placement, now=now)
        self._record_moves(moving.drains, records=records)
        self._free_slot(waiting, demands=demands, records=records, fallbacks=fallbacks)
        return steps

    def _refuse(self, refused: Sequence[ReplicaRecord], *, now: float) -> None:
        """Remove records that aren't ours after a while, as they may never expire."""
        self._refusals.note(refused)
        self._directory.remove(
            [r.id for r in refused if self._ages.of(f"refused:{r.id}", now=now) > REFUSED_KEPT_S]
        )

    def _without_lost(
        self, records: Sequence[ReplicaRecord], *, workers: Sequence[WorkerRecord], now: float
    ) -> list[ReplicaRecord]:
        """Drop queued records that no worker takes; others are started in their places."""
        served = {
            queue
            for worker in workers
            if not worker.retiring
            for queue in (worker.queue, queue_at(worker.queue, host_id=worker.host_id))
        }
        # A slot was free for each: one that hasn't taken it by then never will.
        lost = [
            record.id
            for record in records
            if record.state is ReplicaState.QUEUED
            and (self._ages.of(record.id, now=now) > 30.0 or record.queue not in served)
        ]
        for replica_id in lost:
            logger.warning("task lost replica=%s", replica_id)
        self._directory.remove(lost)
        return [record for record in records if record.id not in lost]

    def _with_drain_requests(self, records: Sequence[ReplicaRecord]) -> list[ReplicaRecord]:
        """Count those that were asked to drain as draining, before they say so themselves."""
        asked = self._directory.asked_to_drain([record.id for record in records])
        return [
            msgspec.structs.replace(record, state=ReplicaState.DRAINING)
            if record.id in asked and record.state is not ReplicaState.FAILED
            else record
            for record in records
        ]

    def _note_success(self, demands: Sequence[Demand], *, records: Sequence[ReplicaRecord]) -> None:
        """Forget the failures of versions that have every replica they should."""
        ready = [record for record in records if record.state is ReplicaState.READY]
        counts = Counter((record.version_id, record.generation) for record in ready)
        loaded = {
            demand.version_id
            for demand in demands
            if counts[demand.version_id, demand.generation] >= max(1, demand.replicas)
        }
        for version_id in loaded:
            hosts = {record.host_id for record in ready if record.version_id == version_id}
            self._failures.forget_disproved(version_id, host_ids=hosts)
        well = {
            version_id for version_id in loaded if not self._failures.is_on_probation(version_id)
        }
        if well:
            services.note_load_error(well, error="")

    def _keep_fallbacks(
        self, records: Sequence[ReplicaRecord], *, views: Sequence[WebView], moment: datetime
    ) -> frozenset[int]:
        """Keep versions warm that answer for a live version which some web process can't reach."""
        warm = ModelVersion.objects.filter(warm_until__gt=moment)
        if not warm.exists():
            return frozenset()
        warm = warm.filter(model__live_version__replicas__gt=0)
        warm = warm.exclude(model__live_version_id=F("pk"))
        ready = [record for record in records if record.state is ReplicaState.READY]
        fallbacks = [
            version
            for version in warm.select_related("model__live_version")
            if (live := version.model.live_version)
            and not reached(
                [
                    record.id
                    for record in ready
                    if (record.version_id, record.generation) == (live.pk, live.generation)
                ],
                views=views,
            )
        ]
        ending = moment + timedelta(seconds=30)
        expiring = [
            version.pk
            for version in fallbacks
            if version.warm_until and version.warm_until < ending
        ]
        if expiring:
            services.keep_warm(expiring, until=moment + timedelta(seconds=60))
        return frozenset(version.pk for version in fallbacks)

    def _carry_out(
        self, steps: Plan, *, moving: ReplicaMoves, placement: Placement, now: float
    ) -> tuple[Plan, list[Demand]]:
        """Do as many of the steps as there are slots for, and return them."""
        self._directory.remove(steps.drops)
        self._directory.ask_to_drain(steps.drains)
        started: list[Demand] = []
        waiting: list[Demand] = []
        for demand in sorted(steps.starts, key=lambda d: d.version_id not in moving.versions):
            moves = demand.version_id in moving.versions
            queue = placement.place(demand, moves=moves)
            if queue is not None:
                self._start(demand, queue=queue, now=now)
                started.append(demand)
            elif (
                not moves
                and placement.is_full(demand.device)
                and self._ages.of(f"{demand.version_id} waits", now=now) > 2.0
            ):
                waiting.append(demand)
        steps = replace(steps, starts=tuple(started))
        if steps:
            logger.info(
                "reconciled started=%d dropped=%d drained=%d",
                len(steps.starts),
                len(steps.drops),
                len(steps.drains),
            )
        return steps, waiting

    def _record_moves(self, moved: Collection[str], *, records: Sequence[ReplicaRecord]) -> None:
        """Record which replicas leave their workers for others of their versions."""
        for record in (record for record in records if record.id in moved):
            there = {r.host for r in records if r.version_id == record.version_id} - {record.host}
            record_replica(
                record,
                action=AuditEntry.Action.MOVE,
                changes={"host": [record.host, ", ".join(sorted(there)) or record.host]},
                reason=f"Its worker {record.worker} retires.",
            )

    def _start(self, demand: Demand, *, queue: str, now: float) -> None:
        record = ReplicaRecord(
            id=uuid.uuid4().hex,
            model=demand.model,
            version=demand.version,
            version_id=demand.version_id,
            generation=demand.generation,
            device=demand.device,
            queue=queue,
            state=ReplicaState.QUEUED,
            queued_at=time.time(),
        )
        self._ages.of(record.id, now=now)
        self._directory.enqueue(record)
        self._start_replica(record)

    def _free_slot(
        self,
        waiting: Sequence[Demand],
        *,
        demands: Sequence[Demand],
        records: Sequence[ReplicaRecord],
        fallbacks: frozenset[int],
    ) -> None:
        """End the grace time of the version with the least of it for those that wait for a slot."""
        version_id = version_to_evict(
            waiting=waiting, demands=demands, records=records, fallbacks=fallbacks
        )
        if version_id is not None:
            logger.info("no free slot: cooling version=%d", version_id)
            services.keep_warm([version_id], until=None)
            return
        replica_id = replica_to_preempt(waiting=waiting, demands=demands, records=records)
        if replica_id is not None:
            logger.info("no free slot: draining replica=%s for a version without any", replica_id)
            self._directory.ask_to_drain([replica_id])
