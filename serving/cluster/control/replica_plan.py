"""The changes that make the live replicas the wanted ones: arithmetic, no I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from serving.cluster.membership.records import ReplicaRecord, ReplicaState, kind_of

# Of slots, and of devices as versions name them.
KINDS = ("cpu", "gpu")
MOST_DISPENSABLE_FIRST = (ReplicaState.QUEUED, ReplicaState.LOADING, ReplicaState.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The number of replicas that one version should have.

    `warm_until` (unix seconds) is set if nothing but its grace time keeps the version. `near` is
    the host where the next one should start if it can; "" for any.
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
    """Replicas to start, one for each entry, queued records to drop, and replicas to drain."""

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
    """Compare demand with supply, as if there were slots for all."""
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
    missing = [
        (demand.warm_until is not None, ordinal, demand.version_id, demand)
        for key, demand in wanted.items()
        if demand.version_id not in held_back
        for ordinal in range(len(supply.get(key, ())), demand.replicas)
    ]
    return Plan(
        starts=tuple(demand for *_, demand in sorted(missing, key=lambda item: item[:3])),
        drops=tuple(r.id for r in surplus if r.state is ReplicaState.QUEUED),
        drains=tuple(r.id for r in surplus if r.state is not ReplicaState.QUEUED),
    )


def version_to_evict(
    *,
    waiting: Iterable[Demand],
    demands: Sequence[Demand],
    records: Sequence[ReplicaRecord],
    fallbacks: Set[int] = frozenset(),
) -> int | None:
    """Choose the warm version whose slot one of those `waiting` should get, None for none."""
    needy = {(demand.device, demand.model) for demand in waiting if demand.warm_until is None}
    devices = {device for device, _ in needy} - _freeing(records)
    holding = {record.version_id for record in records if record.is_supply}
    candidates = [
        (demand.version_id in fallbacks, demand.warm_until, demand.version_id)
        for demand in demands
        if demand.warm_until is not None
        and demand.device in devices
        and (demand.version_id not in fallbacks or (demand.device, demand.model) in needy)
        and demand.version_id in holding
    ]
    return min(candidates)[-1] if candidates else None


def replica_to_preempt(
    *, waiting: Iterable[Demand], demands: Sequence[Demand], records: Sequence[ReplicaRecord]
) -> str | None:
    """Choose a replica of the version with most, for one `waiting` that has none; None for none."""
    device_of = {demand.version_id: demand.device for demand in demands}
    supply = [r for r in records if r.is_supply and r.version_id in device_of]
    held = Counter(record.version_id for record in supply)
    needy = {d.device for d in waiting if d.warm_until is None and not held[d.version_id]}
    for device in sorted(needy - _freeing(records)):
        rich = [(n, version) for version, n in held.items() if device_of[version] == device]
        count, giver = max(rich, default=(0, 0))
        if count > 1:
            own = [record for record in supply if record.version_id == giver]
            return _dispensable(own, keep=count - 1)[0].id
    return None


def _freeing(records: Iterable[ReplicaRecord]) -> set[str]:
    return {kind_of(r.device) for r in records if r.state is ReplicaState.DRAINING}


def _dispensable(present: Sequence[ReplicaRecord], *, keep: int) -> Sequence[ReplicaRecord]:
    """Return those above `keep`: queued ones first, then loading ones, then the youngest."""
    ranked = sorted(
        present,
        key=lambda r: (MOST_DISPENSABLE_FIRST.index(r.state), -r.queued_at, r.id),
    )
    return ranked[: max(0, len(ranked) - keep)]
