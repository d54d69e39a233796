"""A worker retires: what is asked of it, what is said of it, and when it is given up."""

from typing import Any

import msgspec
import pytest
import redis
from django.core.management import CommandError, call_command
from django.test import override_settings

from registry.releases.control import note_round
from serving.cluster.control.moves.retirement import LOOK_AGAIN_S, Retirement, RetirementFailed
from serving.cluster.failures.failure_counts import BACKOFF_KEY, FailureCounts
from serving.cluster.membership.directory import RECORD_KEY, Directory
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.seals import Seal
from serving.cluster.membership.workers import (
    WORKER_KEY,
    WorkerRecord,
    announce_worker,
    is_asked_to_retire,
    withdraw_worker,
)
from tests.redis_server import fresh_redis_client
from tests.serving.cluster.samples import a_record

OLD, NEW = (
    WorkerRecord(id=name, host="app1", host_id="h1", queue="replicas.cpu", slots=2)
    for name in ("old", "new")
)
LOADING, QUEUED = ReplicaState.LOADING, ReplicaState.QUEUED


class World:
    """Two workers, of which one retires, and what the test says that happens meanwhile."""

    def __init__(self, client: redis.Redis, directory: Directory) -> None:
        self.client, self.directory = client, directory
        self.seconds = 0.0
        self.lives = True
        self.said: list[str] = []
        note_round(client)
        for worker in (OLD, NEW):
            self.announce(worker)

    def retire(self, *steps: object) -> None:
        """Have it retire; before each look one more of these functions is called."""
        self.said = []
        for line in self._retirement(*steps).run():
            self.said.append(line)

    def _retirement(self, *steps: object) -> Retirement:
        remaining = iter(steps)

        def wait(seconds: float) -> None:
            self.seconds += seconds
            step = next(remaining, None)
            if callable(step):
                step()

        return Retirement(
            client=self.client,
            directory=self.directory,
            worker=OLD.id,
            lives=lambda: self.lives,
            clock=lambda: self.seconds,
            wait=wait,
        )

    def heeds(self) -> None:
        """The worker takes from no queue any more."""
        self.announce(msgspec.structs.replace(OLD, retiring=True))

    def has(self, replica_id: str, **fields: Any) -> None:
        self.directory.announce(a_record(replica_id, host_id="h1", **fields))
        self.client.persist(RECORD_KEY + replica_id)

    def announce(self, worker: WorkerRecord) -> None:
        announce_worker(self.client, worker)
        self.client.persist(WORKER_KEY + worker.id)

    def fails(self) -> None:
        """A replica of the first version fails to load, and its pause is over."""
        failures = FailureCounts(self.client)
        failures.note(1, host_id="h1", host="app1", reason="CUDA out of memory")
        self.client.delete(f"{BACKOFF_KEY}1:h1")

    def moved(self, replica_id: str) -> None:
        self.directory.remove([replica_id])


@pytest.fixture
def world(client: redis.Redis, directory: Directory) -> World:
    return World(client, directory)


def test_it_is_over_when_the_last_replica_has_moved(world: World) -> None:
    world.has("r1", worker="old")
    world.has("r2", worker="old", model="knn", version_id=2)
    world.retire(world.heeds, lambda: world.moved("r1"), lambda: world.moved("r2"))
    assert world.said == [
        "asked to retire, 2 replicas to move",
        "svm:1 has moved, 1 left",
        "knn:1 has moved, 0 left",
    ]
    assert is_asked_to_retire(world.client, OLD.id)  # until it has been ended


def test_it_is_not_over_while_the_worker_takes_from_its_queues(world: World) -> None:
    with pytest.raises(RetirementFailed, match="it went on taking replicas for 60 s"):
        world.retire()
    assert not is_asked_to_retire(world.client, OLD.id)


def test_where_the_next_one_fails_again_and_again_it_is_given_up_and_says_why(
    world: World,
) -> None:
    world.fails()  # that was before, and says nothing
    world.has("r1", worker="old")
    with pytest.raises(RetirementFailed) as failed:
        world.retire(world.heeds, world.fails, world.fails, world.fails)
    assert str(failed.value) == (
        "svm:1 could not be started beside the replica that answers, and goes on in that: "
        "failed 4 times on app1: CUDA out of memory"
    )
    assert not is_asked_to_retire(world.client, OLD.id)


def test_one_that_loads_is_waited_for_and_one_without_a_slot_is_not(world: World) -> None:
    world.has("r1", worker="old")
    world.has("r2", worker="new", state=LOADING)

    loads_long = [lambda: None] * 200
    with pytest.raises(RetirementFailed) as failed:
        world.retire(world.heeds, *loads_long, lambda: world.moved("r2"))
    assert str(failed.value) == "nothing went on for 60 s, svm:1 left: no slot is free"
    assert world.seconds > 60 + 200 * LOOK_AGAIN_S


def test_whoever_has_another_secret_does_not_take_the_worker_for_empty(world: World) -> None:
    Directory(world.client, seal=Seal(b"another")).announce(a_record("r1", worker="old"))
    with pytest.raises(RetirementFailed, match="are sealed with another secret"):
        world.retire(world.heeds)
    assert not is_asked_to_retire(world.client, OLD.id)


def test_without_another_worker_it_goes_on_as_before(world: World) -> None:
    withdraw_worker(world.client, NEW)
    with pytest.raises(RetirementFailed, match="no other worker takes replicas from its queue"):
        world.retire()
    assert world.seconds >= 60
    assert not is_asked_to_retire(world.client, OLD.id)


def test_a_worker_that_was_just_started_is_waited_for(world: World) -> None:
    withdraw_worker(world.client, NEW)
    world.retire(world.heeds, lambda: world.announce(NEW))
    assert world.said == ["asked to retire, 0 replicas to move"]


def test_a_worker_that_dies_meanwhile_has_not_retired(world: World) -> None:
    world.has("r1", worker="old")

    def dies() -> None:
        world.moved("r1")
        world.lives = False

    with pytest.raises(RetirementFailed, match="the worker has ended before all of its replicas"):
        world.retire(world.heeds, dies)


def test_the_command_names_what_is_in_the_way(redis_socket: str, client: redis.Redis) -> None:
    with (
        override_settings(REDIS_URL=f"unix://{redis_socket}"),
        fresh_redis_client(),
        pytest.raises(CommandError, match="no such worker takes replicas on this host"),
    ):
        call_command("retire_worker", "1")
