"""A worker says that it lives, and takes from its queues unless it is asked to retire."""

import redis

from serving.cluster.membership.workers import (
    WorkerRecord,
    ask_to_retire,
    read_workers,
    take_back_request,
)
from serving.cluster.replica.announcement import Announcement

RECORD = WorkerRecord(id="w1", host="app1", host_id="h1", queue="replicas.cpu", slots=2)
BOTH = {"replicas.cpu", "replicas.cpu.h1"}


class Queues:
    """The queues that a consumer takes from."""

    def __init__(self) -> None:
        self.taken_from = set(BOTH)

    def add_task_queue(self, queue: str) -> None:
        self.taken_from.add(queue)

    def cancel_task_queue(self, queue: str) -> None:
        self.taken_from.discard(queue)


def test_it_retires_while_it_is_asked_to_and_says_so(client: redis.Redis) -> None:
    queues = Queues()
    worker = Announcement(RECORD, consumer=queues, client=client)

    def renewed() -> tuple[set[str], list[bool]]:
        worker.renew()
        return queues.taken_from, [record.retiring for record in read_workers(client)]

    assert renewed() == (BOTH, [False])
    ask_to_retire(client, "w1")
    assert renewed() == (set(), [True])
    take_back_request(client, "w1")
    assert renewed() == (BOTH, [False])


def test_what_was_asked_of_an_earlier_worker_with_the_same_id_is_no_request_of_it(
    client: redis.Redis,
) -> None:
    ask_to_retire(client, "w1", seconds=3600)
    queues = Queues()
    worker = Announcement(RECORD, consumer=queues, client=client)
    worker.renew()
    assert queues.taken_from == BOTH
    ask_to_retire(client, "w1")
    worker.renew()
    assert queues.taken_from == set()


def test_one_that_is_being_stopped_is_no_worker_any_more(client: redis.Redis) -> None:
    worker = Announcement(RECORD, consumer=Queues(), client=client)
    worker.renew()
    worker.withdraw()
    worker.renew()
    assert read_workers(client) == []
