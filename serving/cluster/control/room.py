"""Who may have a slot while workers retire: what moves comes before what only waits. Arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set

from serving.cluster.control.planning import KINDS
from serving.cluster.membership.records import ReplicaRecord, ReplicaState, kind_of
from serving.cluster.membership.workers import WorkerRecord
from serving.cluster.queues import queue_of


class Room:
    """The slots of workers that stay, less those that the replicas of retiring ones will need.

    A replica that waited before would otherwise take a slot of the worker that has just come, and
    one that answers, the only one of its version perhaps, would find none to move to. The versions
    in `moving` are at it, and wait for nobody.
    """

    def __init__(
        self,
        *,
        workers: Iterable[WorkerRecord],
        records: Sequence[ReplicaRecord],
        moving: Set[int],
    ) -> None:
        known = list(workers)
        retiring = {worker.id for worker in known if worker.retiring}
        leaving = Counter(
            kind_of(r.device) for r in records if r.worker in retiring and r.is_supply
        )
        held = Counter(
            kind_of(r.device) for r in records if r.worker not in retiring and r.holds_slot
        )
        slots = {
            kind: sum(w.slots for w in known if w.queue == queue_of(kind) and not w.retiring)
            for kind in KINDS
        }
        # Where nothing retires nobody has to wait for it.
        self._left = {kind: slots[kind] - held[kind] - leaving[kind] for kind in leaving}
        self._moving = moving

    def takes(self, version_id: int, *, device: str) -> bool:
        """Whether one replica more of the version finds a slot; that is its own from then on."""
        if version_id in self._moving:
            return True
        kind = kind_of(device)
        if kind in self._left:
            self._left[kind] -= 1
        return self._left.get(kind, 0) >= 0

    def without(self, records: Iterable[ReplicaRecord]) -> list[str]:
        """Return those of the waiting ones that find none, the ones that came last."""
        waiting = [record for record in records if record.state is ReplicaState.QUEUED]
        return [
            record.id
            for record in sorted(waiting, key=lambda record: (record.queued_at, record.id))
            if not self.takes(record.version_id, device=record.device)
        ]
