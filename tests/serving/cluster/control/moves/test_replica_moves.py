"""Replicas leave a worker that retires one at a time, and none before another answers."""

from collections.abc import Sequence, Set

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cluster.control.moves.replica_moves import replica_moves
from serving.cluster.control.replica_plan import Demand, plan
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from tests.serving.cluster.samples import a_demand, a_record

QUEUED, LOADING, READY = ReplicaState.QUEUED, ReplicaState.LOADING, ReplicaState.READY
DRAINING = ReplicaState.DRAINING
OLD, NEW = {"worker": "old", "host_id": "h1"}, {"worker": "new", "host_id": "h1"}
RETIRING = {"old"}


def wanted(records: Sequence[ReplicaRecord], *demands: Demand) -> list[tuple[int, str]]:
    """Return each version's number of replicas wanted now, and the host to be near."""
    found = replica_moves(demands, records=records, retiring=RETIRING, reached=set()).demands
    return [(demand.replicas, demand.near) for demand in found]


def test_versions_move_one_after_the_other_those_that_are_only_warm_last() -> None:
    records = [a_record("r1", **OLD), a_record("r2", version_id=2, **OLD)]
    warm, asked = a_demand(warm_until=9.0), a_demand(version_id=2)
    assert wanted(records, warm, asked) == [(1, ""), (2, "h1")]


def test_what_has_begun_goes_on_before_anything_else() -> None:
    records = [
        a_record("r1", **OLD),
        a_record("r2", version_id=2, **OLD),
        a_record("r3", version_id=2, state=LOADING, **NEW),
    ]
    assert wanted(records, a_demand(), a_demand(version_id=2)) == [(1, ""), (2, "h1")]


def test_while_one_drains_no_other_one_is_started() -> None:
    records = [
        a_record("r1", **OLD),
        a_record("r2", version_id=2, state=DRAINING, **OLD),
        a_record("r3", version_id=2, **NEW),
    ]
    assert wanted(records, a_demand(), a_demand(version_id=2)) == [(1, ""), (1, "")]


def test_what_drains_meanwhile_ends_no_move_that_has_begun() -> None:
    records = [
        a_record("r1", **OLD),
        a_record("r2", state=LOADING, **NEW),
        a_record("r3", version_id=2, state=DRAINING, **OLD),
    ]
    found = replica_moves([a_demand()], records=records, retiring=RETIRING, reached=set())
    assert not plan(demands=found.demands, records=records)
    assert found.versions == {1}


def test_a_version_that_was_scaled_down_ends_no_move_of_another_one() -> None:
    records = [
        a_record("r1", version_id=2, **OLD),
        a_record("r2", version_id=2, state=LOADING, **NEW),
        a_record("r3", **OLD),
        a_record("r4", queued_at=1.0, **NEW),
    ]
    demands = [a_demand(), a_demand(version_id=2)]
    found = replica_moves(demands, records=records, retiring=RETIRING, reached={"r4"})
    assert found.drains == ("r3",)
    assert not plan(demands=found.demands, records=records)


@pytest.mark.parametrize(
    ("state", "reached", "drains"),
    [
        (QUEUED, set(), ()),
        (LOADING, set(), ()),
        (READY, set(), ()),
        (READY, {"new"}, ("old",)),
    ],
)
def test_the_old_one_is_drained_once_the_new_one_answers_every_web_process(
    state: ReplicaState, reached: set[str], drains: tuple[str, ...]
) -> None:
    records = [a_record("old", **OLD), a_record("new", state=state, **NEW)]
    found = replica_moves([a_demand()], records=records, retiring=RETIRING, reached=reached)
    assert found.drains == drains
    assert not plan(demands=found.demands, records=records)


def test_a_version_that_answers_elsewhere_waits_for_no_slot_that_is_not_there() -> None:
    demand = a_demand(replicas=2)
    records = [a_record("old", **OLD), a_record("new", **NEW)]

    def drained(*full: str, reached: Set[str] = frozenset({"new"})) -> tuple[str, ...]:
        return replica_moves(
            [demand], records=records, retiring=RETIRING, reached=reached, full=set(full)
        ).drains

    assert drained() == drained("gpu") == drained("cpu", reached=frozenset()) == ()
    assert drained("cpu") == ("old",)


@given(
    replicas=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    scaled=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    later=st.integers(0, 8),
)
def test_whatever_is_scaled_meanwhile_everything_moves_and_no_version_is_left_without(
    replicas: list[int], scaled: list[int], later: int
) -> None:
    """Each round brings every replica one step on; at a round of its own the demands change."""
    demands = [a_demand(version_id=n, replicas=count) for n, count in enumerate(replicas)]
    records = [
        a_record(f"{n}.{ordinal}", version_id=n, **OLD)
        for n, count in enumerate(replicas)
        for ordinal in range(count)
    ]
    most = sum(map(max, replicas, scaled)) + 1
    for turn in range(100):
        if turn == later:
            demands = [
                a_demand(version_id=d.version_id, replicas=scaled[n]) for n, d in enumerate(demands)
            ]
        ready = {r.id for r in records if r.state is READY}
        found = replica_moves(demands, records=records, retiring=RETIRING, reached=ready)
        steps = plan(demands=found.demands, records=records)
        drains = {*steps.drains, *found.drains}
        records = [_next(r, drained=r.id in drains) for r in records if r.state is not DRAINING]
        records += [
            a_record(f"t{turn}.{i}", version_id=d.version_id, state=LOADING, queued_at=turn, **NEW)
            for i, d in enumerate(steps.starts)
        ]
        answering = {r.version_id for r in records if r.state is READY}
        assert answering == {demand.version_id for demand in demands}
        assert len(records) <= most
    assert {r.worker for r in records} == {"new"}
    assert len(records) == sum(demand.replicas for demand in demands)


def _next(record: ReplicaRecord, *, drained: bool) -> ReplicaRecord:
    return msgspec.structs.replace(record, state=DRAINING if drained else READY)
