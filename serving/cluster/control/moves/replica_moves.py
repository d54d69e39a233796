"""Moves replicas off workers that retire, one at a time and never the last first: arithmetic.

A replica leaves once another one of its version, on a worker that stays, answers every web process.
Until then the version has one replica more than is wanted. Nothing is remembered from one round to
the next: how far a move has come shows in who is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from serving.cluster.control.replica_plan import Demand
from serving.cluster.membership.records import ReplicaRecord, ReplicaState


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaMoves:
    """The demands of this round, some for a replica more than is wanted, and whom to drain.

    `versions` are those that move.
    """

    demands: Sequence[Demand]
    drains: tuple[str, ...] = ()
    versions: frozenset[int] = frozenset()


def replica_moves(
    demands: Sequence[Demand],
    *,
    records: Sequence[ReplicaRecord],
    retiring: Set[str],
    reached: Set[str],
    full: Set[str] = frozenset(),
) -> ReplicaMoves:
    """Say what brings the replicas of the workers `retiring` (ids) elsewhere."""
    present: dict[tuple[int, int], list[ReplicaRecord]] = {}
    for record in records:
        if record.is_supply:
            present.setdefault((record.version_id, record.generation), []).append(record)
    busy = {r.worker for r in records if r.state is ReplicaState.DRAINING}
    chosen: list[_Move] = []
    candidates = [
        _Move(demand=demand, worker=worker, there=there, retiring=retiring)
        for demand in demands
        if (there := present.get((demand.version_id, demand.generation)))
        for worker in sorted({record.worker for record in there} & retiring)
    ]
    for move in sorted(candidates, key=_Move.rank):
        # What was drained meanwhile, as somebody scaled it down say, ends no move that has begun.
        may_begin = move.has_begun or move.worker not in busy
        if may_begin and not any(move.disturbs(other) for other in chosen):
            chosen.append(move)
    return ReplicaMoves(
        versions=frozenset(move.demand.version_id for move in chosen),
        demands=_raised(demands, {move.demand.version_id: move for move in chosen}),
        drains=tuple(move.leaves.id for move in chosen if move.is_done(reached=reached, full=full)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A replica of a version leaves this worker; `there` are all that it has."""

    demand: Demand
    worker: str
    there: Sequence[ReplicaRecord]
    retiring: Set[str]

    @property
    def leaves(self) -> ReplicaRecord:
        leaving = [record for record in self.there if record.worker == self.worker]
        return min(leaving, key=lambda r: (r.state is ReplicaState.READY, r.queued_at, r.id))

    @property
    def stay(self) -> list[ReplicaRecord]:
        return [record for record in self.there if record.worker not in self.retiring]

    @property
    def has_begun(self) -> bool:
        return bool(self.stay) and len(self.there) > self.demand.replicas

    @property
    def waits(self) -> bool:
        """There are more than are wanted, all of which leave: the last of them goes."""
        return not self.stay and len(self.there) > self.demand.replicas

    def rank(self) -> tuple[bool, bool, int, int]:
        """Moves that have begun come first, and versions that are only kept warm last; a version of
        many replicas, which may take every slot, comes after those of few.
        """
        warm = self.demand.warm_until is not None
        return not self.has_begun, warm, self.demand.replicas, self.demand.version_id

    def disturbs(self, other: _Move) -> bool:
        """Return whether both are of one version, or this one would be a worker's second move."""
        same_version = other.demand.version_id == self.demand.version_id
        return same_version or (other.worker == self.worker and not self.has_begun)

    def is_done(self, *, reached: Set[str], full: Set[str]) -> bool:
        return (
            bool(self.stay)
            and (self.has_begun or self.demand.device in full)
            and all(r.state is ReplicaState.READY and r.id in reached for r in self.stay)
        )


def _raised(demands: Sequence[Demand], moved: Mapping[int, _Move]) -> list[Demand]:
    """The replica more starts on the host that the other one leaves, if it can."""
    return [
        replace(demand, replicas=demand.replicas + 1, near=move.leaves.host_id)
        if (move := moved.get(demand.version_id)) and not move.waits
        else demand
        for demand in demands
    ]
