"""Preparation of a replica or a check on a host that lacks the artifact."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import skops.io
from django.test import override_settings
from pytest_django.fixtures import Settings
from sklearn.dummy import DummyClassifier

from core.redis.redis_client import redis_client
from registry import services
from registry.artifacts.artifact_sources import Arriving, StorageSource
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.copies import Copies
from registry.artifacts.fetching import ArtifactFiles
from registry.models import VersionCheck
from serving.cluster.control.checks.check_task import check_version
from serving.cluster.control.checks.tries import MOST_TRIES
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaState
from serving.cluster.parent import Lifeline
from serving.cluster.replica.heartbeat import GivenUp, Heartbeat
from serving.cluster.replica.replica_process import artifact_at_hand
from serving.container.failures.container_errors import ArtifactUnreadable
from tests.registry.artifacts.conftest import CHUNK, CONTENT, DIGEST, PlayedSource
from tests.serving.cluster.samples import a_record
from tests.serving.cluster.wait_until import wait_for

BY = services.Actor.of_command("test")


@pytest.fixture(autouse=True)
def _own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.CLIPPER_VAR = tmp_path
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    settings.CLIPPER_ARTIFACT_COPIES = tmp_path / "artifact-copies"
    settings.CLIPPER_MIN_FREE_BYTES = 0


# --- a replica -------------------------------------------------------------------------------


@pytest.fixture
def heartbeat(directory: Directory) -> Iterator[Heartbeat]:
    record = a_record("r1", state=ReplicaState.LOADING)
    heartbeat = Heartbeat(record, directory=directory, is_orphan=lambda: False)
    heartbeat.become(ReplicaState.LOADING)
    heartbeat.start()
    yield heartbeat
    heartbeat.withdraw()


def files_of(source: PlayedSource) -> ArtifactFiles:
    store = ArtifactStore.default()
    return ArtifactFiles(
        store=store, sources=[source], copies=Copies.default(), within_s=30.0, give_up_s=0.2
    )


def preparing(directory: Directory) -> str:
    return next((one.preparing for one in directory.read()), "")


def test_its_record_says_how_far_the_fetch_is_and_then_nothing(
    directory: Directory, heartbeat: Heartbeat
) -> None:
    said = "fetching its artifact: 0 of 1 MB"
    source = PlayedSource(
        while_sending=lambda: wait_for(lambda: preparing(directory) == said, what=said)
    )
    with artifact_at_hand(files_of(source), DIGEST, heartbeat=heartbeat) as path:
        assert path.read_bytes() == CONTENT
        (record,) = directory.read()
        assert (record.state, record.preparing) == (ReplicaState.LOADING, "")


def test_one_that_nobody_wants_any_more_fetches_no_further(
    directory: Directory, heartbeat: Heartbeat
) -> None:
    def asked_to_drain() -> None:
        directory.ask_to_drain(["r1"])
        wait_for(heartbeat.drain.is_set, what="it hears of it")

    source = PlayedSource(while_sending=asked_to_drain)
    files = files_of(source)
    with pytest.raises(GivenUp), artifact_at_hand(files, DIGEST, heartbeat=heartbeat):
        pass
    assert files.copies.part_of(DIGEST).stat().st_size <= 2 * CHUNK


def test_where_it_cannot_be_had_that_is_the_reason(
    directory: Directory, heartbeat: Heartbeat
) -> None:
    files = files_of(PlayedSource(files={}))
    with (
        pytest.raises(ArtifactUnreadable, match="isn't here"),
        artifact_at_hand(files, DIGEST, heartbeat=heartbeat),
    ):
        pass
    (record,) = directory.read()
    assert record.preparing == ""


# --- a check ---------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(settings: Settings) -> Iterator[ArtifactStore]:
    """The store is no folder of this host."""
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    with override_settings(STORAGES=settings.STORAGES | {"artifacts": memory}):
        yield ArtifactStore.default()


@pytest.fixture
def check(elsewhere: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> VersionCheck:
    line = Lifeline()
    monkeypatch.setattr("serving.cluster.control.checks.check_task.lifeline", lambda: line)
    estimator = DummyClassifier(strategy="constant", constant=1).fit([[0.0, 0.0]] * 2, [1, 2])
    version = services.create_version(
        model=services.create_model(name="svm", input_type="doubles", by=BY),
        version="1",
        runtime="sklearn",
        artifact=io.BytesIO(skops.io.dumps(estimator)),
        by=BY,
    )
    return VersionCheck.objects.get(version=version)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("server_redis")
def test_a_check_fetches_it_and_says_so_meanwhile(
    check: VersionCheck,
    elsewhere: ArtifactStore,
    server_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = StorageSource.send
    key = f"clipper:checking:{check.pk}"
    said = b"fetching its artifact"

    def slow(source: StorageSource, digest: str, *, offset: int) -> Arriving:
        wait_for(lambda: server_redis.get(key) == said, what="the check says what it waits for")
        return sent(source, digest, offset=offset)

    monkeypatch.setattr(StorageSource, "send", slow)
    check_version(check.pk)

    check.refresh_from_db()
    assert check.state == VersionCheck.State.PASSED, check.error
    assert Copies.default().path_of(check.version.digest).exists()
    assert server_redis.get(key) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("server_redis")
def test_a_check_without_room_is_tried_again_and_then_says_why(
    check: VersionCheck, settings: Settings
) -> None:
    settings.CLIPPER_ARTIFACT_COPIES_BYTES = 100
    for number in range(MOST_TRIES):
        assert check.state == VersionCheck.State.PENDING
        check_version(check.pk)
        redis_client().delete(f"clipper:checking:{check.pk}")  # as if it had expired
        check.refresh_from_db()
        assert (check.state == VersionCheck.State.FAILED) == (number == MOST_TRIES - 1)
    assert "tried 3 times: InsufficientStorage: This host keeps 0 MB of artifacts" in check.error
    assert check.version.validated_at is None
