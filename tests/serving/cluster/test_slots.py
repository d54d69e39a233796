"""Slots are forked as replicas come, one ahead of them, and taken away where no more may come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from celery.worker import state

from serving.cluster.replica.slots import SlotsOnDemand

MOST = 3


@dataclass
class CountingPool:
    """Stands for a worker's pool: knows how many processes it was told to have."""

    num_processes: int = 1
    maintained: int = 0

    def grow(self, number: int) -> None:
        self.num_processes += number

    def shrink(self, number: int) -> None:
        self.num_processes -= number

    def maintain_pool(self) -> None:
        self.maintained += 1


@dataclass(eq=False)
class Reserved:
    """A task that the worker has taken from its queue."""

    id: str = "replica"


@pytest.fixture(autouse=True)
def nothing_reserved() -> Iterator[None]:
    yield
    state.reserved_requests.clear()
    state.active_requests.clear()


@pytest.mark.parametrize(("replicas", "slots"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_there_is_one_slot_more_than_replicas_up_to_the_most(replicas: int, slots: int) -> None:
    pool = CountingPool()
    autoscaler = SlotsOnDemand(pool, MOST, 1)  # type: ignore[arg-type]  # a double
    taken = [Reserved() for _ in range(replicas)]
    for request in taken:
        state.reserved_requests.add(request)

    autoscaler.maybe_scale()

    assert pool.num_processes == slots
    assert pool.maintained == (slots > 1)


def test_a_slot_stays_when_its_replica_has_gone() -> None:
    pool = CountingPool(num_processes=MOST)
    autoscaler = SlotsOnDemand(pool, MOST, 1)  # type: ignore[arg-type]  # a double

    autoscaler.maybe_scale()

    assert pool.num_processes == MOST


def test_a_worker_that_takes_no_more_replicas_ends_its_free_slots_but_one() -> None:
    pool = CountingPool(num_processes=MOST)
    autoscaler = SlotsOnDemand(pool, MOST, 1)  # type: ignore[arg-type]  # a double
    serves = Reserved()
    state.reserved_requests.add(serves)

    autoscaler.end_free()
    assert pool.num_processes == MOST  # it may have any of them

    state.active_requests.add(serves)
    autoscaler.end_free()
    autoscaler.maybe_scale()
    assert pool.num_processes == 2
