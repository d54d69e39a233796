"""One replica as the directory knows it: where it is, in which state, and what it has done."""

from __future__ import annotations

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
    """One replica as the directory knows it; times are unix seconds, 0.0 where not yet.

    They are of the clock of whichever host wrote them: for people to read, for nobody to compare.
    `host_id` tells hosts apart that have the same name.
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
    # The id of the worker whose slot it has.
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
    last_error: str | None = None
    # What it waits for on its host before it loads, for people; "" for nothing.
    preparing: str = ""
    # In Redis alone: who has read the record has checked it.
    seal: str = ""

    @property
    def is_supply(self) -> bool:
        """Whether it serves, or will without anyone doing anything."""
        return self.state in (ReplicaState.QUEUED, ReplicaState.LOADING, ReplicaState.READY)

    @property
    def holds_slot(self) -> bool:
        """Whether a worker's slot is taken by it."""
        return self.state in (ReplicaState.LOADING, ReplicaState.READY, ReplicaState.DRAINING)


def kind_of(device: str) -> str:
    """The kind of slot that a device takes: "cuda:1" one for GPUs."""
    return "cpu" if device == "cpu" else "gpu"
