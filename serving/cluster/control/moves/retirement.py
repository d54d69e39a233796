"""Has a worker retire, and follows how its replicas move to others, until it has none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.releases.control import read_control
from serving.cluster.failures.failure_counts import FailureCounts
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.views import obstacle_text, obstacles, read_views
from serving.cluster.membership.workers import (
    WorkerRecord,
    ask_to_retire,
    read_workers,
    take_back_request,
)

if TYPE_CHECKING:
    import redis

LOOK_AGAIN_S = 0.5


class RetirementFailed(Exception):
    """The worker goes on as before, with what it still has; the text says why."""


@dataclass(slots=True, kw_only=True)
class Retirement:
    """One worker's, by its id."""

    client: redis.Redis
    directory: Directory
    worker: str
    # Whether its process is there; one on a busy machine may be silent for a while.
    lives: Callable[[], bool]
    # Another worker, which has just been started, may take so long until it takes replicas.
    other_within_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], object] = time.sleep
    # So long nothing may happen while nothing loads, which has limits of its own.
    patience_s: float = 60.0
    _failed_before: dict[int, int] = field(default_factory=dict)
    _known: WorkerRecord | None = None

    def run(self) -> Iterator[str]:
        """Yield how it goes, a line each; raises RetirementFailed."""
        try:
            self._own()
            ask_to_retire(self.client, self.worker)
            yield f"asked to retire, {len(self._left(self._records()))} replicas to move"
            self._wait_for_another()
            yield from self._follow_moves()
            # An hour, in which somebody is to end it.
            ask_to_retire(self.client, self.worker, seconds=3600)
        except BaseException:  # GeneratorExit as well
            take_back_request(self.client, self.worker)
            raise

    def _wait_for_another(self) -> None:
        deadline = self.clock() + self.other_within_s
        while not self._others():
            if self.clock() >= deadline:
                raise RetirementFailed("no other worker takes replicas from its queue")
            ask_to_retire(self.client, self.worker)
            self.wait(LOOK_AGAIN_S)

    def _follow_moves(self) -> Iterator[str]:
        left = self._left(self._records())
        self._failed_before = {r.version_id: self._failures(r)[0] for r in left}
        seen: object = None
        seen_at = empty_since = self.clock()
        while True:
            ask_to_retire(self.client, self.worker)
            own, records = self._own(), self._records()
            before, left = left, self._left(records)
            remaining = {record.id for record in left}
            for gone in (record for record in before if record.id not in remaining):
                yield f"{gone.model}:{gone.version} has moved, {len(left)} left"
            if left or not own.retiring:
                empty_since = self.clock()
            # What the worker took last may not have begun.
            elif self.clock() - empty_since >= 2.0:
                return
            now = sorted((r.id, r.state, r.preparing) for r in records)
            if now != seen or any(r.state is ReplicaState.LOADING for r in records):
                seen, seen_at = now, self.clock()
            self._refuse_failures(left)
            if self.clock() - seen_at >= self.patience_s:
                raise RetirementFailed(self._obstacle(left, records=records))
            self.wait(LOOK_AGAIN_S)

    def _refuse_failures(self, left: Sequence[ReplicaRecord]) -> None:
        for record in left:
            count, text = self._failures(record)
            if count - self._failed_before.get(record.version_id, 0) >= 3:
                raise RetirementFailed(
                    f"{record.model}:{record.version} could not be started beside the replica "
                    f"that answers, and goes on in that: {text}"
                )

    def _failures(self, record: ReplicaRecord) -> tuple[int, str]:
        found = FailureCounts(self.client).by_host(record.version_id).values()
        return sum(failures.count for failures in found), "; ".join(f.text for f in found)

    def _obstacle(self, left: Sequence[ReplicaRecord], *, records: Sequence[ReplicaRecord]) -> str:
        """Return what is in the way, as far as it is known."""
        if not self._own().retiring:
            return f"the worker hangs: it went on taking replicas for {self.patience_s:g} s"
        names = ", ".join(sorted({f"{record.model}:{record.version}" for record in left}))
        head = f"nothing went on for {self.patience_s:g} s, {names or 'none'} left"
        if problem := read_control(self.client).problem:
            return f"{head}: {problem}"
        versions = {record.version_id for record in left}
        coming = [r for r in records if r.version_id in versions and r.worker != self.worker]
        if unreached := obstacles(coming, views=read_views(self.client)):
            return f"{head}: {obstacle_text(*unreached[0])}"
        if texts := [text for record in left if (text := self._failures(record)[1])]:
            return f"{head}: {texts[0]}"
        return head if coming else f"{head}: no slot is free"

    def _others(self) -> list[WorkerRecord]:
        own = self._own()
        return [
            worker
            for worker in read_workers(self.client)
            if worker.queue == own.queue and worker.id != own.id and not worker.retiring
        ]

    def _own(self) -> WorkerRecord:
        """Return what it said last of itself."""
        found = (w for w in read_workers(self.client) if w.id == self.worker)
        self._known = next(found, self._known)
        if self._known is None:
            raise RetirementFailed("no such worker takes replicas on this host")
        if not self.lives():
            raise RetirementFailed("the worker has ended before all of its replicas had moved")
        return self._known

    def _left(self, records: Sequence[ReplicaRecord]) -> list[ReplicaRecord]:
        return [r for r in records if r.worker == self.worker and r.holds_slot]

    def _records(self) -> list[ReplicaRecord]:
        """Return those there are; a worker whose records can't be read would look empty."""
        listing = self.directory.look()
        if any(record.worker == self.worker for record in listing.refused):
            raise RetirementFailed(
                "the records of its replicas are sealed with another secret "
                "(CLIPPER_CLUSTER_SECRET or DJANGO_SECRET_KEY) than this command has"
            )
        return listing.records
