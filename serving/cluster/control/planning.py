"""What to change so that the live replicas become the desired ones: arithmetic, no I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from serving.cluster.membership.records import ReplicaRecord, ReplicaState, kind_of
from serving.cluster.queues import queue_of

# A wanted replica that has waited this long for a slot takes one from a version that is only warm.
EVICT_AFTER_S = 2.0

# Of slots, and of devices as versions name them.
KINDS = ("cpu", "gpu")
MOST_DISPENSABLE_FIRST = (ReplicaState.QUEUED, ReplicaState.LOADING, ReplicaState.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How many replicas one version should have.

    `warm_until` (unix seconds) is set where nothing but its grace time keeps the version. `near` is
    the host where the next one should start if it can; "" where any will do.
    """

    version_id: int
    model: str
    version: str
    generation: int
    device: str
    replicas: int
    warm_until: float | None = None
    near: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now: one start for each entry, queued records to drop, replicas to drain."""

    starts: tuple[Demand, ...] = ()
    drops: tuple[str, ...] = ()
    drains: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.starts or self.drops or self.drains)


def plan(
    *,
    demands: Iterable[Demand],
    records: Iterable[ReplicaRecord],
    held_back: Set[int] = frozenset(),
) -> Plan:
    """Compare demand with supply.

    Draining and failed records are no supply: the first are on their way out already, the others
    are only there to be read. Versions in `held_back` failed lately and get no new replica yet.
    """
    wanted = {(demand.version_id, demand.generation): demand for demand in demands}
    supply: dict[tuple[int, int], list[ReplicaRecord]] = defaultdict(list)
    for record in records:
        if record.is_supply:
            supply[record.version_id, record.generation].append(record)
    surplus = [
        record
        for key, present in supply.items()
        for record in _dispensable(present, keep=wanted[key].replicas if key in wanted else 0)
    ]
    return Plan(
        starts=_starts(wanted, supply=supply, held_back=held_back),
        drops=tuple(r.id for r in surplus if r.state is ReplicaState.QUEUED),
        drains=tuple(r.id for r in surplus if r.state is not ReplicaState.QUEUED),
    )


def version_to_evict(
    *,
    demands: Sequence[Demand],
    records: Sequence[ReplicaRecord],
    waited_s: Mapping[str, float],
    fallbacks: Set[int] = frozenset(),
) -> int | None:
    """Choose the warm version that has to make room for a waiting replica, if there is one.

    `waited_s` says how long each queued replica has waited. Nothing is evicted while a replica
    drains: its slot comes free in a moment. Versions in `fallbacks` still answer for their models,
    and make room for those models alone.
    """
    by_version = {demand.version_id: demand for demand in demands}
    waiting = {
        (demand.device, demand.model)
        for record in records
        if record.state is ReplicaState.QUEUED and waited_s.get(record.id, 0.0) > EVICT_AFTER_S
        if (demand := by_version.get(record.version_id)) and demand.warm_until is None
    }
    devices = {device for device, _ in waiting}
    freeing = {kind_of(r.device) for r in records if r.state is ReplicaState.DRAINING}
    holding = {r.version_id for r in records if r.is_supply and r.state is not ReplicaState.QUEUED}
    candidates = [
        (demand.version_id in fallbacks, demand.warm_until, demand.version_id)
        for demand in demands
        if demand.warm_until is not None
        and demand.device in devices - freeing
        and (demand.version_id not in fallbacks or (demand.device, demand.model) in waiting)
        and demand.version_id in holding
    ]
    return min(candidates)[-1] if candidates else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemption:
    """Whom to take a slot from for a version that has none: queued records that would take it
    instead, and a replica to drain.
    """

    drops: tuple[str, ...]
    drain: str


def preemption(
    *,
    demands: Sequence[Demand],
    records: Sequence[ReplicaRecord],
    waited_s: Mapping[str, float],
) -> Preemption | None:
    """Take a slot from whoever has most, where a version waits for its first replica.

    One that was scaled beyond all slots would otherwise keep the others from coming back. Nobody
    gives its last replica, and nothing is taken while a replica drains.
    """
    devices = {demand.version_id: demand.device for demand in demands}
    lasting = {demand.version_id for demand in demands if demand.warm_until is None}
    supply = [r for r in records if r.is_supply and r.version_id in devices]
    held = Counter(r.version_id for r in supply if r.state is not ReplicaState.QUEUED)
    freeing = {kind_of(r.device) for r in records if r.state is ReplicaState.DRAINING}
    needy = {
        devices[record.version_id]
        for record in supply
        if record.version_id in lasting
        and not held[record.version_id]
        and record.queue in ("", queue_of(record.device))  # a slot of any host will do
        and waited_s.get(record.id, 0.0) > EVICT_AFTER_S
    } - freeing
    for device in sorted(needy):
        rich = [(held[v], v) for v in held if devices[v] == device and held[v] > 1]
        if rich:
            _, giver = max(rich)
            holding = [r for r in supply if r.version_id == giver]
            return Preemption(
                drops=tuple(
                    r.id
                    for r in supply
                    if r.state is ReplicaState.QUEUED
                    and devices[r.version_id] == device
                    and held[r.version_id]
                ),
                drain=_dispensable(
                    [r for r in holding if r.state is not ReplicaState.QUEUED],
                    keep=held[giver] - 1,
                )[0].id,
            )
    return None


def _starts(
    wanted: Mapping[tuple[int, int], Demand],
    *,
    supply: Mapping[tuple[int, int], Sequence[ReplicaRecord]],
    held_back: Set[int],
) -> tuple[Demand, ...]:
    """Every version gets its first replica before any gets its second; the warm ones come last."""
    missing = [
        (demand.warm_until is not None, ordinal, demand.version_id, demand)
        for key, demand in wanted.items()
        if demand.version_id not in held_back
        for ordinal in range(len(supply.get(key, ())), demand.replicas)
    ]
    return tuple(demand for *_, demand in sorted(missing, key=lambda item: item[:3]))


def _dispensable(present: Sequence[ReplicaRecord], *, keep: int) -> Sequence[ReplicaRecord]:
    """Those above `keep`: queued ones first, then loading ones, then the youngest."""
    ranked = sorted(
        present,
        key=lambda r: (MOST_DISPENSABLE_FIRST.index(r.state), -r.queued_at, r.id),
    )
    return ranked[: max(0, len(ranked) - keep)]
