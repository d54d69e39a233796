"""One round of reconciling, against a real Redis and database, with nobody taking the tasks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest
import redis
from django.utils import timezone

from registry import services
from registry.models import Model, ModelVersion, Release
from serving.cluster.directory import Directory, ReplicaRecord, ReplicaState
from serving.cluster.failures import FailureCounts
from serving.cluster.planning import Plan
from serving.cluster.reconcile import Reconciler
from tests.serving.cluster.records import a_record

pytestmark = pytest.mark.django_db

BY = services.Actor.of_command("test")


@dataclass
class Rounds:
    """A reconciler whose tasks go nowhere but into these lists."""

    client: redis.Redis
    started: list[tuple[str, str]] = field(default_factory=list)
    validating: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory = Directory(self.client)
        self.failures = FailureCounts(self.client)
        self._reconciler = Reconciler(
            self.client, start_replica=self._start, validate=self.validating.append
        )

    def run(self, *, after_s: float = 0.0) -> Plan:
        return self._reconciler.run(now=time.time() + after_s)

    def _start(self, replica_id: str, *, queue: str, version_id: int, generation: int) -> None:
        self.started.append((replica_id, queue))

    def announce(self, version: ModelVersion, replica_id: str = "r1", **changes: object) -> None:
        fields = {"version_id": version.pk, "generation": version.generation, "host": "elsewhere"}
        self.directory.announce(a_record(replica_id, **(fields | changes)))

    def records(self) -> dict[str, ReplicaRecord]:
        return {record.id: record for record in self.directory.read()}


@pytest.fixture
def server_info(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What Redis says of itself; the one for tests may be younger than a believable one."""
    info: dict[str, object] = {"run_id": "first", "uptime_in_seconds": 600}
    monkeypatch.setattr(client, "info", lambda _section: info)
    return info


@pytest.fixture
def rounds(client: redis.Redis, server_info: dict[str, object]) -> Rounds:
    return Rounds(client)


def make_version(name: str = "svm", version: str = "1", **fields: object) -> ModelVersion:
    model, _ = Model.objects.get_or_create(name=name, input_type="doubles")
    return ModelVersion.objects.create(
        model=model, version=version, runtime="sklearn", digest="0" * 64, generation=1, **fields
    )


@pytest.fixture
def live() -> ModelVersion:
    version = make_version()
    Model.objects.update(live_version=version)
    return ModelVersion.objects.get(pk=version.pk)


def test_a_wanted_replica_is_written_down_as_queued_and_enqueued(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.run()

    (record,) = rounds.directory.read()
    assert (record.state, record.version_id) == (ReplicaState.QUEUED, live.pk)
    assert rounds.started == [(record.id, "replicas.cpu")]
    assert not rounds.run()


def test_a_version_for_gpus_goes_to_their_queue(rounds: Rounds, live: ModelVersion) -> None:
    ModelVersion.objects.update(device="gpu")

    rounds.run()

    assert [queue for _, queue in rounds.started] == ["replicas.gpu"]


def test_a_redis_that_has_just_come_back_is_not_believed(
    rounds: Rounds, live: ModelVersion, server_info: dict[str, object]
) -> None:
    rounds.announce(live)
    assert not rounds.run()
    rounds.directory.remove(["r1"])
    server_info.update(run_id="second", uptime_in_seconds=1)

    assert not rounds.run()

    server_info.update(uptime_in_seconds=3)
    assert rounds.run().starts


def test_a_stack_that_starts_with_an_empty_redis_need_not_wait(
    rounds: Rounds, live: ModelVersion, server_info: dict[str, object]
) -> None:
    server_info.update(uptime_in_seconds=0)

    assert rounds.run().starts


def test_a_replica_of_this_host_without_a_process_is_replaced_at_once(
    rounds: Rounds, live: ModelVersion
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=30)
    rounds.announce(live, host=socket.gethostname(), pid=gone.pid)

    steps = rounds.run()

    assert len(steps.starts) == 1
    assert "r1" not in rounds.records()
    assert rounds.failures.count(live.pk) == 0


def test_a_replica_that_died_while_it_loaded_counts_as_a_failure(
    rounds: Rounds, live: ModelVersion
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=30)
    loading = ReplicaState.LOADING
    rounds.announce(live, host=socket.gethostname(), pid=gone.pid, state=loading)

    assert not rounds.run()
    assert rounds.failures.count(live.pk) == 1
    live.refresh_from_db()
    assert live.load_error == "its process ended, while the model was loading"
    assert rounds.records()["r1"].last_error == live.load_error


def test_a_version_held_back_starts_when_its_pause_is_over(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    for _ in range(2):
        client.delete(f"clipper:backoff:{live.pk}")
        rounds.failures.note(live.pk)

    assert not rounds.run()
    assert 1000 < client.pttl(f"clipper:backoff:{live.pk}") <= 2000
    client.delete(f"clipper:backoff:{live.pk}")
    assert rounds.run().starts


def test_replicas_that_fail_together_count_as_one_failure(
    rounds: Rounds, live: ModelVersion
) -> None:
    for _ in range(4):
        rounds.failures.note(live.pk)

    assert rounds.failures.count(live.pk) == 1


def test_a_ready_replica_clears_the_failures_before_it(rounds: Rounds, live: ModelVersion) -> None:
    rounds.failures.note(live.pk)
    ModelVersion.objects.update(load_error="no weights")
    rounds.announce(live)

    rounds.run()

    assert rounds.failures.count(live.pk) == 0
    assert ModelVersion.objects.get(pk=live.pk).load_error == ""


def test_failures_are_remembered_while_a_further_replica_cannot_load(
    rounds: Rounds, live: ModelVersion
) -> None:
    ModelVersion.objects.update(replicas=2)
    rounds.announce(live)
    rounds.failures.note(live.pk)

    assert not rounds.run()
    assert rounds.failures.count(live.pk) == 1
    rounds.announce(live, "r2")
    rounds.run()
    assert rounds.failures.count(live.pk) == 0


def test_a_queued_replica_whose_task_is_lost_is_started_anew(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.run()
    rounds.run(after_s=9)
    assert len(rounds.started) == 1

    rounds.run(after_s=11)

    (first, _), (second, _) = rounds.started
    assert list(rounds.records()) == [second]
    assert first != second


def test_a_queued_replica_whose_task_waits_is_left_alone(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.run()
    ((replica_id, queue),) = rounds.started
    client.lpush(queue, json.dumps({"headers": {"id": replica_id}}))

    assert not rounds.run(after_s=600)


def test_one_that_was_asked_to_drain_is_not_asked_for_again(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.announce(live, "r1", queued_at=1.0)
    rounds.announce(live, "r2", queued_at=2.0)

    assert rounds.run().drains == ("r2",)
    assert not rounds.run()


def test_a_version_is_kept_through_its_grace_time_and_not_longer(
    rounds: Rounds, live: ModelVersion
) -> None:
    Model.objects.update(live_version=None)
    ModelVersion.objects.update(warm_until=timezone.now() + timedelta(seconds=60))
    rounds.announce(live)

    assert not rounds.run()
    ModelVersion.objects.update(warm_until=timezone.now())
    assert rounds.run().drains == ("r1",)


@pytest.mark.parametrize("ready", [False, True])
def test_a_version_stays_warm_until_the_one_that_replaced_it_is_ready(
    rounds: Rounds, live: ModelVersion, ready: bool
) -> None:
    soon = timezone.now() + timedelta(seconds=20)
    warm = make_version(version="2", warm_until=soon)
    rounds.announce(warm, "warm")
    if ready:
        rounds.announce(live, "live")
    rounds.run()

    later = ModelVersion.objects.filter(pk=warm.pk, warm_until__gt=soon)
    assert later.exists() is not ready


def test_a_live_version_scaled_to_nothing_keeps_no_other_warm(
    rounds: Rounds, live: ModelVersion
) -> None:
    ModelVersion.objects.update(replicas=0)
    until = timezone.now() + timedelta(seconds=20)
    warm = make_version(version="2", warm_until=until)
    rounds.run()

    assert ModelVersion.objects.get(pk=warm.pk).warm_until == until


def test_a_waiting_replica_ends_the_grace_of_another_version(
    rounds: Rounds, live: ModelVersion
) -> None:
    warm = make_version("tree", warm_until=timezone.now() + timedelta(seconds=600))
    rounds.announce(warm, "warm")
    rounds.run()
    assert ModelVersion.objects.get(pk=warm.pk).warm_until is not None

    rounds.run(after_s=2.5)

    assert ModelVersion.objects.get(pk=warm.pk).warm_until is None
    assert rounds.run(after_s=2.5).drains == ("warm",)


def test_a_pending_release_is_validated_once(rounds: Rounds) -> None:
    release = services.deploy(version=make_version(), by=BY)

    rounds.run()
    rounds.run()

    assert rounds.validating == [release.pk]
    assert not rounds.started


def test_a_release_whose_validation_was_lost_is_validated_again(
    rounds: Rounds, client: redis.Redis
) -> None:
    release = services.deploy(version=make_version(), by=BY)
    rounds.run()
    client.delete(f"clipper:validating:{release.pk}")

    rounds.run()

    assert rounds.validating == [release.pk] * 2


def test_only_two_releases_are_validated_at_a_time(rounds: Rounds) -> None:
    releases = [services.deploy(version=make_version(f"model-{n}"), by=BY) for n in range(3)]

    rounds.run()

    assert rounds.validating == [release.pk for release in releases[:2]]


def test_a_version_that_proved_loadable_before_starts_without_validation(rounds: Rounds) -> None:
    version = make_version(validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)

    rounds.run()

    release.refresh_from_db()
    version.refresh_from_db()
    assert release.state == Release.State.STARTING
    assert version.generation == 2
    assert rounds.validating == []
    assert len(rounds.started) == 1


def test_a_release_goes_live_when_its_replica_is_ready(rounds: Rounds) -> None:
    version = make_version(validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.run()
    (record,) = rounds.directory.read()
    rounds.directory.announce(
        msgspec.structs.replace(record, state=ReplicaState.READY, host="elsewhere")
    )

    rounds.run()

    release.refresh_from_db()
    assert release.state == Release.State.LIVE
    assert release.model.live_version_id == version.pk


def test_a_release_without_a_slot_says_so_while_it_waits(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.announce(live)
    version = make_version("tree", validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.run()

    rounds.run(after_s=2.5)

    release.refresh_from_db()
    assert release.progress == "waiting for a slot on queue replicas.cpu (1 of 1 in use)"


def test_a_release_whose_replicas_keep_failing_is_given_up(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.announce(live)
    version = make_version(version="2", validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.run()
    ModelVersion.objects.filter(pk=version.pk).update(load_error="no weights")
    for _ in range(3):
        client.delete(f"clipper:backoff:{version.pk}")
        rounds.failures.note(version.pk)

    rounds.run()

    release.refresh_from_db()
    assert (release.state, release.error) == (Release.State.FAILED, "no weights")
    assert Model.objects.get(pk=live.model_id).live_version_id == live.pk
    assert [r.version_id for r in rounds.directory.read()] == [live.pk]
