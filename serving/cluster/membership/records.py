"""The record of one replica in the directory."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class ReplicaState(StrEnum):
    QUEUED = "queued"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    # Nobody enters it: readers find it in records that their stack did not write.
    REFUSED = "refused"


class ReplicaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as the directory knows it; times are unix seconds, 0.0 for not yet.

    Times are of the clock of the host that wrote them: for people to read, not to compare.
    `host_id` differs between hosts of the same name.
    """

    id: str
    model: str
    version: str
    version_id: int
    generation: int
    state: ReplicaState
    host: str = ""
    host_id: str = ""
    pid: int = 0
    # The id of the worker that it runs in.
    worker: str = ""
    device: str = "cpu"
    # Where its task waits; "" for that of all workers for its device.
    queue: str = ""
    address: str = ""
    queued_at: float = 0.0
    started_at: float = 0.0
    heartbeat_at: float = 0.0
    batch_size: int = 0
    in_flight: int = 0
    queries: int = 0
    batches: int = 0
    # What its model takes beyond its bare processes; None: not known yet.
    memory_bytes: int | None = None
    last_error: str | None = None
    # What it waits for on its host before it loads, for people; "" for nothing.
    preparing: str = ""
    # In Redis alone: readers check it and drop it.
    seal: str = ""

    @property
    def is_supply(self) -> bool:
        """It serves, or will without anyone doing anything."""
        return self.state in (ReplicaState.QUEUED, ReplicaState.LOADING, ReplicaState.READY)

    @property
    def holds_slot(self) -> bool:
        """It takes a worker's slot."""
        return self.state in (ReplicaState.LOADING, ReplicaState.READY, ReplicaState.DRAINING)


def memory_of(records: Iterable[ReplicaRecord]) -> dict[int, int]:
    """Return by version what its largest ready replica takes, in bytes, as far as known."""
    found = dict[int, int]()
    for record in records:
        if record.state is ReplicaState.READY and record.memory_bytes is not None:
            known = found.get(record.version_id, 0)
            found[record.version_id] = max(known, record.memory_bytes)
    return found


def kind_of(device: str) -> str:
    """The kind of slot that a device takes: "cuda:1" one for GPUs."""
    return "cpu" if device == "cpu" else "gpu"
