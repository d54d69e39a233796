"""Rounds of reconciling, which take a release from pending to live, or to its end."""

import msgspec
import pytest
import redis
from django.utils import timezone

from registry import services
from registry.models import Model, ModelVersion, Release, VersionCheck
from serving.cluster.membership.records import ReplicaState
from tests.serving.cluster.control.rounds import BY, UNREACHED, Rounds, make_version

pytestmark = pytest.mark.django_db


def check_of(release: Release) -> VersionCheck:
    return VersionCheck.objects.get(version=release.version_id)


def test_a_release_whose_validation_was_lost_is_validated_again(
    rounds: Rounds, client: redis.Redis
) -> None:
    release = services.deploy(version=make_version(), by=BY)
    rounds.run()
    client.delete(f"clipper:checking:{check_of(release).pk}")

    rounds.run()

    assert rounds.checking == [check_of(release).pk] * 2


def test_a_version_that_proved_loadable_before_starts_without_validation(rounds: Rounds) -> None:
    version = make_version(validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)

    rounds.run()

    release.refresh_from_db()
    version.refresh_from_db()
    assert release.state == Release.State.STARTING
    assert version.generation == 2
    assert rounds.checking == []
    assert len(rounds.started) == 1


@pytest.fixture
def starting(rounds: Rounds) -> tuple[Release, str]:
    """A release whose one replica says that it is ready, on another host."""
    version = make_version(validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.run()
    (record,) = rounds.directory.read()
    rounds.directory.announce(
        msgspec.structs.replace(record, state=ReplicaState.READY, host="elsewhere")
    )
    return release, record.id


def test_a_release_goes_live_when_its_replica_has_answered_every_web_process(
    rounds: Rounds, starting: tuple[Release, str]
) -> None:
    release, replica_id = starting
    rounds.see(replica_id, web="w1")
    rounds.see(web="w2")
    rounds.run()
    release.refresh_from_db()
    assert release.state == Release.State.STARTING

    rounds.see(replica_id, web="w2")
    rounds.run()

    release.refresh_from_db()
    assert release.state == Release.State.LIVE
    assert release.model.live_version_id == release.version_id


def test_a_release_that_one_web_process_cannot_reach_says_so_and_is_given_up(
    rounds: Rounds, starting: tuple[Release, str]
) -> None:
    release, replica_id = starting
    rounds.see(replica_id, web="w1")
    rounds.see(web="w2", **{replica_id: UNREACHED})
    rounds.run()
    release.refresh_from_db()
    said = (
        f"web process 812 on app1 can't reach replica {replica_id[:12]} at tcp:10.0.0.7:20000: "
        "connection refused"
    )
    assert release.progress == f"1 of 1 replicas ready, {said}"

    rounds.run(after_s=29)
    release.refresh_from_db()
    assert release.state == Release.State.STARTING
    rounds.run(after_s=31)

    release.refresh_from_db()
    assert (release.state, release.error) == (Release.State.FAILED, said)


def test_a_release_that_no_worker_takes_says_so_at_once(rounds: Rounds) -> None:
    rounds.dismiss("h1")
    release = services.deploy(version=make_version(validated_at=timezone.now()), by=BY)
    rounds.run()

    rounds.run()

    release.refresh_from_db()
    assert release.progress == "no worker takes from queue replicas.cpu"
    rounds.employ("h1", retiring=True)
    rounds.run()
    release.refresh_from_db()
    assert release.progress == "no worker takes from queue replicas.cpu"


def test_a_release_fails_on_one_host_only_where_there_is_another(
    rounds: Rounds, client: redis.Redis
) -> None:
    rounds.employ("h1")
    rounds.employ("h2")
    version = make_version(validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.run()
    for _ in range(5):
        client.delete(f"clipper:backoff:{version.pk}:h1")
        rounds.failures.note(version.pk, host_id="h1", host="app1", reason="no artifact")

    rounds.run()

    release.refresh_from_db()
    assert release.state == Release.State.STARTING
    assert "failed 5 times on app1, next try in 16 s: no artifact" in release.progress


def test_a_release_whose_replicas_keep_failing_is_given_up(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.announce(live)
    version = make_version(version="2", validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.run()
    ModelVersion.objects.filter(pk=version.pk).update(load_error="no weights")
    for _ in range(3):
        client.delete(f"clipper:backoff:{version.pk}:h1")
        rounds.failures.note(version.pk, host_id="h1")

    rounds.run()

    release.refresh_from_db()
    assert (release.state, release.error) == (Release.State.FAILED, "no weights")
    assert Model.objects.get(pk=live.model_id).live_version_id == live.pk
    assert [r.version_id for r in rounds.directory.read()] == [live.pk]


def test_loading_begins_once_its_artifact_is_there(rounds: Rounds) -> None:
    version = make_version(validated_at=timezone.now())
    release = services.deploy(version=version, by=BY)
    rounds.employ("h1")
    rounds.run()
    version.refresh_from_db()
    text = "fetching its artifact: 1 of 2 MB"
    rounds.announce(version, state=ReplicaState.LOADING, preparing=text)
    for after_s in (1, 500):
        rounds.run(after_s=after_s)
        release.refresh_from_db()
        assert release.state == Release.State.STARTING
        assert text in release.progress

    rounds.announce(version, state=ReplicaState.LOADING)
    rounds.run(after_s=501)
    rounds.run(after_s=521)
    release.refresh_from_db()
    assert "loading for 20 s" in release.progress
