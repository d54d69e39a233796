"""Planning compares what is wanted with what is there, and changes no more than it has to."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cluster.control.replica_plan import (
    Demand,
    Plan,
    plan,
    replica_to_preempt,
    version_to_evict,
)
from serving.cluster.failures.failure_counts import backoff_s
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from tests.serving.cluster.samples import a_demand, a_record

QUEUED, LOADING, READY = ReplicaState.QUEUED, ReplicaState.LOADING, ReplicaState.READY
DRAINING, FAILED = ReplicaState.DRAINING, ReplicaState.FAILED


def test_the_youngest_of_too_many_is_drained() -> None:
    records = [a_record("old", queued_at=1.0), a_record("young", queued_at=2.0)]

    assert plan(demands=[a_demand()], records=records) == Plan(drains=("young",))


def test_a_queued_replica_is_dropped_before_a_ready_one_is_drained() -> None:
    records = [a_record("waiting", state=QUEUED, queued_at=1.0), a_record("ready", queued_at=2.0)]

    assert plan(demands=[a_demand()], records=records) == Plan(drops=("waiting",))


def test_a_version_that_failed_lately_is_held_back() -> None:
    assert not plan(demands=[a_demand()], records=[], held_back={1})


def test_every_version_gets_its_first_replica_before_any_gets_its_second() -> None:
    one, two = a_demand(version_id=1, replicas=2), a_demand(version_id=2, replicas=2)

    starts = plan(demands=[one, two], records=[]).starts

    assert [demand.version_id for demand in starts] == [1, 2, 1, 2]


def test_a_version_that_is_only_warm_starts_last() -> None:
    warm = a_demand(version_id=1, warm_until=100.0)
    live = a_demand(version_id=2)

    assert plan(demands=[warm, live], records=[]).starts == (live, warm)


WARM = [a_demand(version_id=1, warm_until=200.0), a_demand(version_id=2, warm_until=100.0)]
BOTH_WARM = [a_record("r1", version_id=1), a_record("r2", version_id=2)]
WAITS = a_demand(version_id=3, model="tree")


def evicted(*waiting: Demand, records: Sequence[ReplicaRecord] = BOTH_WARM) -> int | None:
    demands = [*WARM, *waiting]
    return version_to_evict(waiting=waiting, demands=demands, records=records)


def test_a_waiting_replica_takes_the_slot_of_the_version_closest_to_the_end_of_its_grace() -> None:
    assert evicted(WAITS) == 2
    assert evicted() is None
    assert evicted(replace(WAITS, warm_until=1.0)) is None
    assert evicted(replace(WAITS, device="gpu")) is None


def test_nothing_is_evicted_while_a_slot_is_coming_free() -> None:
    leaving = a_record("r3", version_id=4, state=DRAINING)
    assert evicted(WAITS, records=[*BOTH_WARM, leaving]) is None


@pytest.mark.parametrize(("model", "evicted"), [("svm", 1), ("tree", None)])
def test_a_version_that_still_answers_makes_room_for_its_own_model_alone(
    model: str, evicted: int | None
) -> None:
    waits = a_demand(version_id=3, model=model)
    found = version_to_evict(
        waiting=[waits], demands=[WARM[0], waits], records=BOTH_WARM, fallbacks={1}
    )
    assert found == evicted


def test_the_pause_after_failures_doubles_up_to_a_minute() -> None:
    assert [backoff_s(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_s(10_000) == 60


demands_st = st.lists(
    st.builds(
        a_demand,
        version_id=st.integers(1, 4),
        generation=st.integers(1, 2),
        replicas=st.integers(0, 4),
        warm_until=st.none() | st.floats(0, 100),
    ),
    unique_by=lambda demand: demand.version_id,
    max_size=4,
)
records_st = st.lists(
    st.builds(
        a_record,
        st.uuids().map(str),
        version_id=st.integers(1, 5),
        generation=st.integers(1, 2),
        state=st.sampled_from(ReplicaState),
        queued_at=st.floats(0, 100),
    ),
    unique_by=lambda record: record.id,
    max_size=12,
)


def carried_out(steps: Plan, *, records: list[ReplicaRecord]) -> list[ReplicaRecord]:
    """Return the directory's records once a plan was carried out and all replicas have settled."""
    gone = {*steps.drops, *steps.drains}
    kept = [record for record in records if record.id not in gone]
    started = [
        a_record(f"new-{n}", version_id=demand.version_id, generation=demand.generation)
        for n, demand in enumerate(steps.starts)
    ]
    return [
        msgspec.structs.replace(record, state=READY) if record.is_supply else record
        for record in [*kept, *started]
    ]


@given(demands=demands_st, records=records_st)
def test_one_plan_is_enough(demands: list[Demand], records: list[ReplicaRecord]) -> None:
    steps = plan(demands=demands, records=records)

    after = carried_out(steps, records=records)

    assert not plan(demands=demands, records=after)
    for demand in demands:
        mine = (demand.version_id, demand.generation)
        supply = [r for r in after if r.is_supply and (r.version_id, r.generation) == mine]
        assert len(supply) == demand.replicas


@given(demands=demands_st, records=records_st)
def test_a_plan_starts_or_ends_replicas_of_one_version_but_never_both(
    demands: list[Demand], records: list[ReplicaRecord]
) -> None:
    steps = plan(demands=demands, records=records)

    ended = {
        (record.version_id, record.generation)
        for record in records
        if record.id in {*steps.drops, *steps.drains}
    }
    assert ended.isdisjoint((demand.version_id, demand.generation) for demand in steps.starts)


def preempted(*records: ReplicaRecord, waits: Demand = WAITS) -> str | None:
    demands = [a_demand(replicas=200), waits]
    return replica_to_preempt(waiting=[waits], demands=demands, records=records)


def test_a_version_without_a_replica_gets_a_slot_of_the_one_that_has_most() -> None:
    flood = [a_record(f"f{n}", queued_at=float(n)) for n in range(10)]

    assert preempted(*flood) == "f9"
    assert preempted(*flood, a_record("t1", version_id=3)) is None  # it has its first
    assert preempted(*flood, a_record("d", state=DRAINING)) is None  # one comes free in a moment
    assert preempted(*flood, waits=replace(WAITS, warm_until=1.0)) is None
    assert preempted(flood[0]) is None  # nobody gives its last one
