"""One round of reconciling, against a real Redis and database, with nobody taking the tasks."""

from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from registry.models import ModelVersion
from serving.cluster.membership.records import ReplicaState
from tests.serving.cluster.control.rounds import Rounds, make_version

pytestmark = pytest.mark.django_db


def test_a_wanted_replica_is_written_down_as_queued_and_enqueued(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.run()

    (record,) = rounds.directory.read()
    assert (record.state, record.version_id) == (ReplicaState.QUEUED, live.pk)
    assert rounds.started == [(record.id, "replicas.cpu")]
    assert not rounds.run()


def test_a_redis_that_has_just_come_back_is_not_believed(
    rounds: Rounds, live: ModelVersion, server_info: dict[str, object]
) -> None:
    rounds.announce(live)
    assert not rounds.run()
    rounds.directory.remove(["r1"])
    server_info.update(uptime_in_seconds=1)

    assert not rounds.run()

    server_info.update(uptime_in_seconds=3)
    assert rounds.run().starts


def test_a_version_held_back_starts_when_its_pause_is_over(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.employ("h1")
    for _ in range(2):
        client.delete(f"clipper:backoff:{live.pk}:h1")
        rounds.failures.note(live.pk, host_id="h1")

    assert not rounds.run()
    assert 1000 < client.pttl(f"clipper:backoff:{live.pk}:h1") <= 2000
    client.delete(f"clipper:backoff:{live.pk}:h1")
    assert rounds.run().starts


def test_what_was_to_start_on_a_host_that_has_gone_is_started_elsewhere(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.employ("h2")
    rounds.failures.note(live.pk, host_id="h1")
    rounds.run()
    rounds.dismiss("h2")
    client.delete(f"clipper:backoff:{live.pk}:h1")

    rounds.run()

    assert [queue for _, queue in rounds.started] == ["replicas.cpu.h2", "replicas.cpu"]


def test_failures_are_remembered_while_a_further_replica_cannot_load(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.employ("h1")
    ModelVersion.objects.update(replicas=2)
    rounds.announce(live)
    rounds.failures.note(live.pk, host_id="h1")
    ModelVersion.objects.update(load_error="no weights")

    assert not rounds.run()
    assert rounds.failed(live) == 1
    rounds.announce(live, "r2")
    rounds.run()
    assert rounds.failed(live) == 0
    assert ModelVersion.objects.get(pk=live.pk).load_error == ""


def test_a_queued_replica_that_no_worker_takes_is_started_anew(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.run()
    rounds.run(after_s=29)
    assert len(rounds.started) == 1

    rounds.run(after_s=31)

    (first, _), (second, _) = rounds.started
    assert list(rounds.records()) == [second]
    assert first != second


def test_no_more_are_started_than_there_are_slots(rounds: Rounds, live: ModelVersion) -> None:
    ModelVersion.objects.update(replicas=9)
    assert len(rounds.run().starts) == 4
    assert not rounds.run()
    rounds.dismiss("h1")
    rounds.run()
    assert not rounds.records()


def test_one_that_was_asked_to_drain_is_not_asked_for_again(
    rounds: Rounds, live: ModelVersion
) -> None:
    rounds.announce(live, "r1", queued_at=1.0)
    rounds.announce(live, "r2", queued_at=2.0)

    assert rounds.run().drains == ("r2",)
    assert not rounds.run()


@pytest.mark.parametrize("ready", [False, True])
def test_a_version_stays_warm_until_the_one_that_replaced_it_is_ready(
    rounds: Rounds, live: ModelVersion, ready: bool
) -> None:
    soon = timezone.now() + timedelta(seconds=20)
    warm = make_version(version="2", warm_until=soon)
    rounds.announce(warm, "warm")
    if ready:
        rounds.announce(live, "live")
        rounds.see("live")
    rounds.run()

    later = ModelVersion.objects.filter(pk=warm.pk, warm_until__gt=soon)
    assert later.exists() is not ready


def test_a_waiting_replica_ends_the_grace_of_another_version(
    rounds: Rounds, live: ModelVersion
) -> None:
    warm = make_version("tree", warm_until=timezone.now() + timedelta(seconds=600))
    rounds.employ("h1", slots=1)
    rounds.announce(warm, "warm")
    rounds.run()
    assert ModelVersion.objects.get(pk=warm.pk).warm_until is not None

    rounds.run(after_s=2.5)

    assert ModelVersion.objects.get(pk=warm.pk).warm_until is None
    assert rounds.run(after_s=2.5).drains == ("warm",)
