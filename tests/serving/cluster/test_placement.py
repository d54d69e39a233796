"""A replica starts anywhere, but not where its version has just failed if others could take it."""

from __future__ import annotations

import pytest

from registry.control import Slots
from serving.cluster.control.placement import Placement, occupancy, slots_needed
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.workers import WorkerRecord
from tests.serving.cluster.records import a_demand, a_record

ONE, OTHER = (
    WorkerRecord(id=host, host=host, host_id=host, queue="replicas.cpu", slots=2)
    for host in ("h1", "h2")
)
GPU = WorkerRecord(id="g", host="g", host_id="g", queue="replicas.gpu", slots=1)


def placement(*workers: WorkerRecord, failed: set[str], taken: str = "") -> Placement:
    records = [a_record(f"r{number}", host_id=host) for number, host in enumerate(taken.split())]
    return Placement(workers=workers, records=records, failed_on={1: failed})


def test_where_nothing_failed_whoever_is_free_takes_it() -> None:
    assert placement(ONE, OTHER, failed=set()).queue_for(a_demand()) == "replicas.cpu"


def test_where_it_failed_on_one_host_another_is_named() -> None:
    where = placement(ONE, OTHER, failed={"h1"}, taken="h2 h2")
    assert where.queue_for(a_demand()) == "replicas.cpu.h2"
    assert not where.is_held_back(a_demand())


def test_of_several_hosts_that_with_the_most_free_slots_is_named() -> None:
    third = WorkerRecord(id="h3", host="h3", host_id="h3", queue="replicas.cpu", slots=3)
    where = placement(ONE, OTHER, third, failed={"h1"})
    queues = [where.queue_for(a_demand()) for _ in range(3)]
    assert queues == ["replicas.cpu.h3", "replicas.cpu.h2", "replicas.cpu.h3"] or queues == [
        "replicas.cpu.h3",
        "replicas.cpu.h3",
        "replicas.cpu.h2",
    ]


def test_one_that_failed_everywhere_has_to_wait() -> None:
    assert placement(ONE, OTHER, failed={"h1", "h2"}).is_held_back(a_demand())


def test_a_host_without_the_device_is_no_way_out() -> None:
    where = placement(ONE, GPU, failed={"h1"})
    assert where.is_held_back(a_demand())
    assert where.queue_for(a_demand()) == "replicas.cpu"


def test_without_any_worker_nothing_is_held_back() -> None:
    assert not placement(failed={"h1"}).is_held_back(a_demand())


@pytest.mark.parametrize(
    ("failed", "taken", "in_vain"),
    [
        (set(), "h1 h1", True),
        ({"h2"}, "h1 h1", False),  # the other is still held back
        (set(), "h1", False),  # it is about to have a slot
        (set(), "h1 h1 h2 h2", False),  # nobody has one
    ],
)
def test_one_that_waits_for_a_full_host_is_not_left_there_while_another_has_a_slot(
    failed: set[str], taken: str, in_vain: bool
) -> None:
    where = placement(ONE, OTHER, failed=failed, taken=taken)
    waiting = [
        a_record("there", state=ReplicaState.QUEUED, queue="replicas.cpu.h1"),
        a_record("anywhere", state=ReplicaState.QUEUED, queue="replicas.cpu"),
    ]
    assert where.waiting_in_vain(waiting) == (["there"] if in_vain else [])


def test_a_slot_for_another_device_is_none() -> None:
    beside = WorkerRecord(id="h1g", host="h1", host_id="h1", queue="replicas.gpu", slots=1)
    where = placement(ONE, beside, OTHER, failed=set(), taken="h1 h1")
    waiting = [a_record("there", state=ReplicaState.QUEUED, queue="replicas.cpu.h1")]
    assert where.waiting_in_vain(waiting) == ["there"]
    third = WorkerRecord(id="h3", host="h3", host_id="h3", queue="replicas.cpu", slots=1)
    where = placement(ONE, beside, OTHER, third, failed={"h3"}, taken="h1")
    assert where.queue_for(a_demand()) == "replicas.cpu.h2"


def test_slots_are_counted_and_those_who_have_them_named() -> None:
    records = [
        a_record("r1"),
        a_record("r2", model="tree"),
        a_record("r3", model="tree"),
        a_record("r4", state=ReplicaState.QUEUED),
        a_record("r5", device="cuda:0"),
    ]
    assert occupancy("cpu", workers=[ONE, OTHER, GPU], records=records) == Slots(
        total=4, replicas={"svm:1": 1, "tree:1": 2}
    )


def test_what_is_only_kept_warm_needs_no_slot() -> None:
    records = [
        a_record("r1"),
        a_record("r2", model="tree", version_id=2),
        a_record("r3", model="tree", version_id=2, state=ReplicaState.QUEUED),
        a_record("r4", model="tree", version_id=2, state=ReplicaState.FAILED),
        a_record("r5", model="net", version_id=3, device="cuda:0"),
    ]
    demands = [
        a_demand(warm_until=5.0),
        a_demand(version_id=2),
        a_demand(version_id=3, device="gpu"),
    ]
    assert slots_needed(demands=demands, workers=[ONE, OTHER, GPU], records=records) == {
        "cpu": Slots(total=4, replicas={"tree:1": 2}),
        "gpu": Slots(total=GPU.slots, replicas={"net:1": 1}),
    }


def test_slots_of_a_worker_that_retires_are_nobody_s() -> None:
    old = WorkerRecord(
        id="old", host="h1", host_id="h1", queue="replicas.cpu", slots=2, retiring=True
    )
    records = [a_record("r1", worker="old"), a_record("r2", model="tree", worker="h1")]
    assert occupancy("cpu", workers=[old, ONE], records=records) == Slots(
        total=2, replicas={"tree:1": 1}
    )


def test_where_one_leaves_a_host_the_next_one_starts_there_if_it_can() -> None:
    demand = a_demand(near="h1")
    assert placement(ONE, OTHER, failed=set()).queue_for(demand) == "replicas.cpu.h1"
    assert placement(ONE, OTHER, failed=set(), taken="h1 h1").queue_for(demand) == "replicas.cpu"
    assert placement(ONE, OTHER, failed={"h1"}).queue_for(demand) == "replicas.cpu.h2"
