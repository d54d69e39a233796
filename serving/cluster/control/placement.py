"""The slot that a replica gets: arithmetic, no I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

from registry.releases.control import Slots
from serving.cluster.control.replica_plan import KINDS, Demand
from serving.cluster.membership.records import ReplicaRecord, ReplicaState, kind_of
from serving.cluster.membership.workers import WorkerRecord
from serving.cluster.queues import queue_at, queue_of


class Placement:
    """The free slots of the workers that stay; each is given once.

    `failed_on` has, by version, the hosts on which it failed too lately for another try. What moves
    off a worker that retires goes first: others get the slots that this leaves.
    """

    def __init__(
        self,
        *,
        workers: Sequence[WorkerRecord],
        records: Sequence[ReplicaRecord],
        failed_on: Mapping[int, Set[str]],
    ) -> None:
        retiring = {worker.id for worker in workers if worker.retiring}
        self._failed_on = failed_on
        # By kind and host.
        self._free: Counter[tuple[str, str]] = Counter()
        # By kind: queued replicas that any host may take, and those that leave.
        self._queued: Counter[str] = Counter()
        self._leaving: Counter[str] = Counter()
        for worker in workers:
            if not worker.retiring:
                kind = worker.queue.removeprefix(queue_of(""))
                self._free[kind, worker.host_id] += worker.slots
        self._hosts = {kind: {host for k, host in self._free if k == kind} for kind in KINDS}
        for record in records:
            kind = kind_of(record.device)
            if record.worker in retiring:
                self._leaving[kind] += record.is_supply
            elif record.holds_slot:
                self._free[kind, record.host_id] -= 1
            elif record.state is ReplicaState.QUEUED:
                self._queued[kind] += 1

    def is_held_back(self, demand: Demand) -> bool:
        """Return whether every host that could take it has just failed it."""
        return bool(self._hosts[demand.device]) and not self._good(demand)

    def is_full(self, kind: str) -> bool:
        return self._left(kind) <= 0

    def place(self, demand: Demand, *, moves: bool = False) -> str | None:
        """Return the queue for its next replica, None if no slot is free for it."""
        kind = demand.device
        if self._left(kind) - (0 if moves else self._leaving[kind]) <= 0:
            return None
        if moves:  # it takes one of the slots reserved for what leaves
            self._leaving[kind] -= 1
        queue, good = queue_of(kind), self._good(demand)
        free = {host: self._free[kind, host] for host in good if self._free[kind, host] > 0}
        if demand.near in free:
            chosen = demand.near
        elif good == self._hosts[kind]:
            self._queued[kind] += 1
            return queue
        elif not free:
            return None
        else:
            chosen = max(sorted(free), key=lambda host: free[host])
        self._free[kind, chosen] -= 1
        return queue_at(queue, host_id=chosen)

    def _left(self, kind: str) -> int:
        return sum(n for (k, _), n in self._free.items() if k == kind) - self._queued[kind]

    def _good(self, demand: Demand) -> set[str]:
        return self._hosts[demand.device] - self._failed_on.get(demand.version_id, frozenset())


def occupancy(
    device: str, *, workers: Sequence[WorkerRecord], records: Iterable[ReplicaRecord]
) -> Slots:
    """Return the slots for a device and the replicas that have one."""
    retiring = {worker.id for worker in workers if worker.retiring}
    arms = Counter(
        f"{record.model}:{record.version}"
        for record in records
        if record.holds_slot
        and record.worker not in retiring
        and kind_of(record.device) == kind_of(device)
    )
    return Slots(total=_total(device, workers=workers), replicas=dict(arms))


def slots_needed(*, demands: Iterable[Demand], workers: Sequence[WorkerRecord]) -> dict[str, Slots]:
    """Return the slots by kind, and how many each version needs that is more than kept warm."""
    lasting = [d for d in demands if d.warm_until is None and d.replicas]
    return {
        kind: Slots(
            total=_total(kind, workers=workers),
            replicas={f"{d.model}:{d.version}": d.replicas for d in lasting if d.device == kind},
        )
        for kind in KINDS
    }


def _total(device: str, *, workers: Iterable[WorkerRecord]) -> int:
    staying = (w for w in workers if w.queue == queue_of(device) and not w.retiring)
    return sum(worker.slots for worker in staying)
