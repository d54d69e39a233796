"""Table in shared memory by which a worker's main process watches its replicas.

A replica whose model never returns, and holds the interpreter meanwhile, can neither beat nor end
itself, and one that takes too much memory may not find enough to say so. Each replica therefore
writes down until when it should be done and how much it may hold; its parent, whose child it
verifiably is, looks each second, writes down what it holds, and ends those that are over.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.container.sandbox.family import (
    Process,
    end_groups,
    family_of,
    groups_of,
    read_processes,
)
from serving.container.sandbox.limits import usage_of
from serving.rpc.frames.codec import Answer

if TYPE_CHECKING:
    from serving.container.child.child_process import ChildPredictor
    from serving.container.predictor import BatchPredictor

# More than one worker's slots on one machine; untouched pages cost nothing.
MOST_SLOTS = 256
SLOT_BYTES = 4096
# Monotonic time by which the work under way should be done, 0.0 where there is none, and how long
# that work may take; written alone for each batch, so it is a structure of its own.
_WORK = struct.Struct("@dd")
_LENGTH = struct.Struct("@I")
_RECORD_AT = _WORK.size + _LENGTH.size
# Bytes that the model takes by the main process's last look, at the end of a slot; 0: not known.
_TAKEN = struct.Struct("@q")
_TAKEN_AT = SLOT_BYTES - _TAKEN.size


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as its parent watches it; the memory limit counts from `base_bytes`.

    `child` is the process of its model, which need not be one that it has started; 0: none.
    """

    record: ReplicaRecord
    child: int = 0
    base_bytes: int = 0
    memory_limit_mb: int | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.record.pid, self.child) if self.child else (self.record.pid,)


class Violation(NamedTuple):
    """A replica that has to end, why, and the slot to be cleared once it has."""

    record: ReplicaRecord
    reason: str
    slot: Slot


class WatchTable:
    """Made by the main process before it forks; each fork writes into the slot of its index."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, MOST_SLOTS * SLOT_BYTES)
        # By the id of a replica's process: groups of processes that its model had at the last look.
        self._groups: dict[int, set[int]] = {}
        self._processes: Mapping[int, Process] = {}

    def slot(self, index: int) -> Slot:
        """The slot of this index; one beyond the last is a line that nobody reads."""
        if index >= MOST_SLOTS:
            return Slot(mmap.mmap(-1, SLOT_BYTES), offset=0)
        return Slot(self._memory, offset=index * SLOT_BYTES)

    def violations(self, *, now: float) -> list[Violation]:
        """Return the replicas that are over a limit at this monotonic time."""
        found = []
        slots = ((index, self._watched(index * SLOT_BYTES)) for index in range(MOST_SLOTS))
        held = [(index, watched) for index, watched in slots if watched is not None]
        processes = self._processes = read_processes() if held or self._groups else {}
        for index, watched in held:
            self._note_groups(watched, processes)
            offset = index * SLOT_BYTES
            if reason := self._fault(watched, processes=processes, offset=offset, now=now):
                found.append(Violation(watched.record, reason, self.slot(index)))
        return found

    def end_leftovers(self) -> None:
        """End what models left whose replica has ended before the last look, however that was."""
        for pid in self._groups.keys() - self._processes.keys():
            # The number of a group whose leader runs may be another's by now.
            end_groups(self._groups.pop(pid) - self._processes.keys())

    def _note_groups(self, watched: Watched, processes: Mapping[int, Process]) -> None:
        pid = watched.record.pid
        if pid in processes:
            family = family_of(watched.pids, processes)
            self._groups[pid] = groups_of(family - {pid}, processes)

    def _watched(self, offset: int) -> Watched | None:
        (length,) = _LENGTH.unpack_from(self._memory, offset + _WORK.size)
        if not length:
            return None
        start = offset + _RECORD_AT
        try:
            return _decoder.decode(self._memory[start : start + length])
        except msgspec.MsgspecError:
            return None  # it is being written at this moment

    def _fault(
        self, watched: Watched, *, processes: Mapping[int, Process], offset: int, now: float
    ) -> str:
        due, allowed_s = _WORK.unpack_from(self._memory, offset)
        if 0.0 < due < now:
            if watched.record.state is ReplicaState.LOADING:
                return f"the model did not load within {allowed_s:g} s"
            return f"the model hung: a batch took more than {allowed_s:g} s"
        taken, fault = usage_of(
            watched.pids,
            processes,
            base_bytes=watched.base_bytes,
            limit_mb=watched.memory_limit_mb,
        )
        _TAKEN.pack_into(self._memory, offset + _TAKEN_AT, taken)
        return fault


class Slot:
    """A replica's own line in the table."""

    def __init__(self, memory: mmap.mmap, *, offset: int) -> None:
        self._memory = memory
        self._offset = offset
        self._watched: Watched | None = None

    def clear(self) -> None:
        """Be watched no more."""
        self._watched = None
        _TAKEN.pack_into(self._memory, self._offset + _TAKEN_AT, 0)
        _WORK.pack_into(self._memory, self._offset, 0.0, 0.0)
        _LENGTH.pack_into(self._memory, self._offset + _WORK.size, 0)

    def hold(self, watched: Watched) -> None:
        """Be watched as this; a charge that doesn't fit leaves the replica unwatched."""
        self._watched = watched
        text = msgspec.json.encode(watched)
        at = self._offset + _WORK.size
        _LENGTH.pack_into(self._memory, at, 0)
        _TAKEN.pack_into(self._memory, self._offset + _TAKEN_AT, 0)
        if len(text) <= _TAKEN_AT - _RECORD_AT:
            start = self._offset + _RECORD_AT
            self._memory[start : start + len(text)] = text
            _LENGTH.pack_into(self._memory, at, len(text))

    @property
    def taken_bytes(self) -> int | None:
        """Return what the model takes beyond its bare processes, as its memory limit counts it.

        It is of the parent's last look, within a second; None before the first one.
        """
        taken: int = _TAKEN.unpack_from(self._memory, self._offset + _TAKEN_AT)[0]
        return taken or None

    def renew(self, record: ReplicaRecord) -> None:
        """Be watched further, in another state."""
        if self._watched is not None:
            self.hold(msgspec.structs.replace(self._watched, record=record))

    @contextmanager
    def working(self, *, at_most_s: float) -> Iterator[None]:
        self.begin(at_most_s)
        try:
            yield
        finally:
            self.end()

    def begin(self, at_most_s: float, *, since_s: float = 0.0) -> None:
        """Work that began `since_s` seconds ago."""
        due = time.monotonic() - since_s + at_most_s
        _WORK.pack_into(self._memory, self._offset, due, at_most_s)

    def end(self) -> None:
        _WORK.pack_into(self._memory, self._offset, 0.0, 0.0)


class WatchedPredictor:
    """A predictor each of whose batches has to be done in time; of several at once, the last."""

    def __init__(self, predictor: BatchPredictor, *, slot: Slot, at_most_s: float) -> None:
        self._predictor = predictor
        self._slot = slot
        self._at_most_s = at_most_s
        self._lock = threading.Lock()
        self._under_way = 0

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        with self._lock:
            self._under_way += 1
            self._slot.begin(self._at_most_s)
        try:
            return self._predictor.answer_batch(inputs)
        finally:
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    self._slot.end()


def watch_over(model: ChildPredictor, *, slot: Slot, at_most_s: float) -> None:
    """Note on the running loop, from now on, if a batch of the model takes longer than this."""
    busy_for = model.busy_for
    if busy_for > at_most_s:
        slot.begin(at_most_s, since_s=busy_for)
    # How often a replica looks at a model that works in a process of its own.
    asyncio.get_running_loop().call_later(
        min(1.0, at_most_s / 4),
        lambda: watch_over(model, slot=slot, at_most_s=at_most_s),
    )


_decoder = msgspec.json.Decoder(Watched)
