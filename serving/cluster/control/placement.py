"""On which host a replica should start: anywhere, or where its version has not failed lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from registry.control import Slots
from serving.cluster.control.planning import KINDS, Demand
from serving.cluster.membership.records import ReplicaRecord, ReplicaState, kind_of
from serving.cluster.membership.workers import WorkerRecord
from serving.cluster.queues import queue_at, queue_of


class Placement:
    """The workers there are, and what is known against them; arithmetic, no I/O.

    `failed_on` has, by version, the hosts on which it failed too lately for another try.
    """

    def __init__(
        self,
        *,
        workers: Sequence[WorkerRecord],
        records: Iterable[ReplicaRecord],
        failed_on: Mapping[int, Set[str]],
    ) -> None:
        self._workers = workers
        self._failed_on = failed_on
        # By host and kind of slot.
        self._taken = Counter((r.host_id, kind_of(r.device)) for r in records if r.holds_slot)

    def is_held_back(self, demand: Demand) -> bool:
        """Whether every host that could take it has just failed it."""
        hosts = self._hosts(demand.device)
        return bool(hosts) and hosts <= self._failed_on.get(demand.version_id, frozenset())

    def queue_for(self, demand: Demand) -> str:
        """The queue for its next replica: that of one host where others failed, or near one."""
        hosts, good = self._hosts(demand.device), self._good(demand)
        queue = queue_of(demand.device)
        if demand.near in good and self._free(demand.near, device=demand.device) > 0:
            chosen = demand.near
        elif not good or good == hosts:
            return queue
        else:
            chosen = max(sorted(good), key=lambda host: self._free(host, device=demand.device))
        self._taken[chosen, demand.device] += 1
        return queue_at(queue, host_id=chosen)

    def waiting_in_vain(self, records: Iterable[ReplicaRecord]) -> list[str]:
        """Return those that wait for a slot of one host, which has none, while another one has.

        They were sent to that host as others had failed, and one of these may be tried again.
        """
        return [
            record.id
            for record in records
            if record.state is ReplicaState.QUEUED
            and (host := self._only_host(record)) is not None
            and self._free(host, device=record.device) <= 0
            and any(
                self._free(other, device=record.device) > 0 for other in self._good(record) - {host}
            )
        ]

    def _only_host(self, record: ReplicaRecord) -> str | None:
        queue = queue_of(record.device)
        for host in self._hosts(record.device):
            if record.queue == queue_at(queue, host_id=host):
                return host
        return None

    def _good(self, replica: Demand | ReplicaRecord) -> set[str]:
        return self._hosts(replica.device) - self._failed_on.get(replica.version_id, frozenset())

    def _hosts(self, device: str) -> set[str]:
        return {w.host_id for w in self._workers if w.queue == queue_of(device)}

    def _free(self, host_id: str, *, device: str) -> int:
        there = (w for w in self._workers if w.host_id == host_id and w.queue == queue_of(device))
        return sum(worker.slots for worker in there) - self._taken[host_id, device]


def occupancy(
    device: str, *, workers: Iterable[WorkerRecord], records: Iterable[ReplicaRecord]
) -> Slots:
    """Return the slots for a device and the replicas that have one.

    What workers have that retire counts neither way: nobody gets a slot there.
    """
    own = [worker for worker in workers if worker.queue == queue_of(device)]
    retiring = {worker.id for worker in own if worker.retiring}
    holding = (r for r in records if r.holds_slot and r.worker not in retiring)
    return _slots(device, workers=own, records=holding)


def slots_needed(
    *,
    demands: Iterable[Demand],
    workers: Collection[WorkerRecord],
    records: Collection[ReplicaRecord],
) -> dict[str, Slots]:
    """Return the slots by kind, and the replicas that have or await one and would not give way."""
    lasting = {demand.version_id for demand in demands if demand.warm_until is None}
    needed = [r for r in records if r.is_supply and r.version_id in lasting]
    return {kind: _slots(kind, workers=workers, records=needed) for kind in KINDS}


def _slots(
    device: str, *, workers: Iterable[WorkerRecord], records: Iterable[ReplicaRecord]
) -> Slots:
    arms = (f"{r.model}:{r.version}" for r in records if kind_of(r.device) == device)
    staying = (w for w in workers if w.queue == queue_of(device) and not w.retiring)
    return Slots(total=sum(worker.slots for worker in staying), replicas=dict(Counter(arms)))
