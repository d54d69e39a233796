"""A replica starts anywhere, but not where its version has just failed if others could take it."""

from registry.releases.control import Slots
from serving.cluster.control.placement import Placement, occupancy, slots_needed
from serving.cluster.membership.workers import WorkerRecord
from tests.serving.cluster.samples import a_demand, a_record

ONE, OTHER = (
    WorkerRecord(id=host, host=host, host_id=host, queue="replicas.cpu", slots=2)
    for host in ("h1", "h2")
)
GPU = WorkerRecord(id="g", host="g", host_id="g", queue="replicas.gpu", slots=1)


OLD = WorkerRecord(id="old", host="h1", host_id="h1", queue="replicas.cpu", slots=2, retiring=True)


def placement(*workers: WorkerRecord, failed: set[str] | None = None, taken: str = "") -> Placement:
    records = [a_record(f"r{number}", host_id=host) for number, host in enumerate(taken.split())]
    return Placement(workers=workers, records=records, failed_on={1: failed or set()})


def test_whoever_is_free_takes_as_many_as_there_are_slots() -> None:
    where = placement(ONE, OTHER, taken="h1 h2")
    queues = [where.place(a_demand()) for _ in range(3)]
    assert queues == ["replicas.cpu", "replicas.cpu", None]
    assert where.is_full("cpu")


def test_after_a_failure_on_one_host_another_one_with_the_most_free_slots_is_named() -> None:
    third = WorkerRecord(id="h3", host="h3", host_id="h3", queue="replicas.cpu", slots=3)
    where = placement(ONE, OTHER, third, failed={"h1"})
    assert not where.is_held_back(a_demand())
    queues = [where.place(a_demand()) for _ in range(6)]
    assert queues[0] == "replicas.cpu.h3"
    assert sorted(queues[:5], key=str) == ["replicas.cpu.h2"] * 2 + ["replicas.cpu.h3"] * 3
    assert queues[5] is None
    assert not where.is_full("cpu")  # that host has slots, for others


def test_one_that_failed_everywhere_has_to_wait() -> None:
    assert placement(ONE, OTHER, failed={"h1", "h2"}).is_held_back(a_demand())
    assert placement(ONE, GPU, failed={"h1"}).is_held_back(a_demand())
    assert not placement(failed={"h1"}).is_held_back(a_demand())


def test_what_leaves_a_worker_that_retires_gets_a_slot_before_anything_else() -> None:
    records = [a_record("r1", worker="old", host_id="h1"), a_record("r2", worker="old")]
    where = Placement(workers=[OLD, ONE], records=records, failed_on={})
    assert where.place(a_demand()) is None
    moved = [where.place(a_demand(near="h1"), moves=True) for _ in range(3)]
    assert moved == ["replicas.cpu.h1"] * 2 + [None]


def test_where_one_leaves_a_host_the_next_one_starts_there_if_it_can() -> None:
    demand = a_demand(near="h1")
    assert placement(ONE, OTHER).place(demand) == "replicas.cpu.h1"
    assert placement(ONE, OTHER, taken="h1 h1").place(demand) == "replicas.cpu"
    assert placement(ONE, OTHER, failed={"h1"}).place(demand) == "replicas.cpu.h2"


def test_what_is_only_kept_warm_needs_no_slot() -> None:
    demands = [
        a_demand(warm_until=5.0),
        a_demand(version_id=2, model="tree", replicas=2),
        a_demand(version_id=3, model="net", device="gpu"),
        a_demand(version_id=4, model="none", replicas=0),
    ]
    assert slots_needed(demands=demands, workers=[ONE, OTHER, GPU, OLD]) == {
        "cpu": Slots(total=4, replicas={"tree:1": 2}),
        "gpu": Slots(total=GPU.slots, replicas={"net:1": 1}),
    }


def test_slots_of_a_worker_that_retires_are_nobody_s() -> None:
    records = [a_record("r1", worker="old"), a_record("r2", model="tree", worker="h1")]
    assert occupancy("cpu", workers=[OLD, ONE], records=records) == Slots(
        total=2, replicas={"tree:1": 1}
    )
