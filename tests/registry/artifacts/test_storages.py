"""Artifacts in a bucket, of a real server that speaks S3's protocol, or in another storage."""

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from django.test import override_settings
from pytest_django.fixtures import Settings

from clipper_site.checks import artifacts_can_be_kept
from clipper_site.settings.artifact_storage import LOCAL, artifact_storage
from clipper_site.settings.env import Environment
from clipper_site.stack.layout import free_port
from core.errors import Conflict, NotFound, Unavailable
from registry import services
from registry.artifacts.artifact_sources import SourceFailed, StorageSource
from registry.artifacts.artifact_store import ArtifactStore, LocalArtifacts
from registry.artifacts.copies import Copies
from registry.artifacts.fetching import ArtifactFiles
from registry.models import Model, ModelVersion
from tests.registry.artifacts.conftest import CONTENT, DIGEST, ignored
from tests.registry.conftest import BY, AddVersion
from tests.serving.cluster.wait_until import wait_for

NAME = f"clipper/{DIGEST[:2]}/{DIGEST}"
S3 = "registry.artifacts.s3.S3Artifacts"
# More than the parts of a transfer that are in memory at once.
LARGE = 160 << 20


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        wait_for(lambda: _answers(port), what=f"moto's server: {log.read_text()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[str]:
    """A bucket of its own, with Clipper set up to keep its artifacts there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    name = f"models-{os.urandom(4).hex()}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    settings.CLIPPER_ARTIFACT_COPIES = settings.CLIPPER_VAR / "artifact-copies"
    settings.CLIPPER_MIN_FREE_BYTES = 0
    options = {
        "bucket_name": name,
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "location": "clipper",
    }
    environment = Environment(
        source={"CLIPPER_ARTIFACTS_BACKEND": S3, "CLIPPER_ARTIFACTS_OPTIONS": json.dumps(options)}
    )
    with override_settings(
        STORAGES=settings.STORAGES | {"artifacts": artifact_storage(environment)}
    ):
        assert environment.wrong == []
        yield name


@pytest.fixture
def names(bucket: str, endpoint: str) -> Callable[[], list[str]]:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")

    def listed() -> list[str]:
        return [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", ())]

    return listed


def add(content: bytes = CONTENT) -> ArtifactStore:
    store = ArtifactStore.default()
    with store.received(io.BytesIO(content)) as incoming:
        store.send(incoming)
        store.settle(incoming)
    return store


def test_it_lies_in_the_bucket_under_its_sha256(names: Callable[[], list[str]]) -> None:
    store = add()
    assert names() == [NAME]
    assert store.storage.size(f"{DIGEST[:2]}/{DIGEST}") == len(CONTENT)
    assert store.file_of(DIGEST) is None
    add()
    assert names() == [NAME]
    store.remove(DIGEST)
    store.remove(DIGEST)
    assert names() == []


def test_a_host_fetches_it_from_the_bucket(bucket: str, settings: Settings) -> None:
    store = add()
    assert not list(store.spool.glob(".incoming-*"))
    with ArtifactFiles.default().opened(DIGEST) as path:
        assert path.read_bytes() == CONTENT
    store.remove(DIGEST)
    Copies.default().path_of(DIGEST).unlink()
    with pytest.raises(NotFound), ArtifactFiles.default().opened(DIGEST):
        pass


def test_it_is_sent_from_where_a_fetch_broke_off(bucket: str) -> None:
    source = StorageSource(storage=add().storage)
    with closing(source.send(DIGEST, offset=1000)) as arriving:
        assert (arriving.size, arriving.offset) == (len(CONTENT), 1000)
        assert b"".join(arriving.chunks) == CONTENT[1000:]


def test_a_large_one_is_never_in_memory(bucket: str, names: Callable[[], list[str]]) -> None:
    content = io.BytesIO(os.urandom(1 << 20) * (LARGE >> 20))
    digest = hashlib.file_digest(content, "sha256").hexdigest()
    content.seek(0)
    store = ArtifactStore.default()
    tracemalloc.start()
    try:
        with store.received(content) as incoming:
            store.send(incoming)
            store.settle(incoming)
        with ArtifactFiles.default().opened(digest) as path:
            assert path.stat().st_size == LARGE
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Transfers hold a few parts.
    assert most < LARGE
    assert names() == [f"clipper/{digest[:2]}/{digest}"]


@pytest.mark.django_db(transaction=True)
def test_a_version_that_cannot_be_registered_leaves_nothing(
    names: Callable[[], list[str]], add_version: AddVersion, svm: Model
) -> None:
    kept = add_version("1", content=CONTENT)
    with pytest.raises(Conflict):
        add_version("1", content=b"another")
    assert names() == [NAME]
    same = add_version("2", content=CONTENT)
    services.delete_version(version=same, by=BY)
    assert names() == [NAME]
    services.delete_version(version=kept, by=BY)
    assert names() == []


@pytest.mark.django_db(transaction=True)
def test_bytes_that_are_deleted_while_they_are_registered_are_asked_for_again(
    names: Callable[[], list[str]], add_version: AddVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = ArtifactStore.send

    def deleted_meanwhile(store: ArtifactStore, incoming: object) -> None:
        sent(store, incoming)  # type: ignore[arg-type]  # as it came
        store.remove(DIGEST)

    with monkeypatch.context() as patched:
        patched.setattr(ArtifactStore, "send", deleted_meanwhile)
        with pytest.raises(Unavailable, match="deleted meanwhile"):
            add_version("1", content=CONTENT)
    assert not ModelVersion.objects.exists()
    add_version("1", content=CONTENT)
    assert names() == [NAME]


@pytest.mark.django_db(transaction=True)
def test_a_bucket_that_is_away_says_so_and_keeps_nothing(
    bucket: str, add_version: AddVersion, settings: Settings
) -> None:
    add_version("1", content=CONTENT)
    away = {"BACKEND": S3}
    options = settings.STORAGES["artifacts"]["OPTIONS"] | {"endpoint_url": "http://127.0.0.1:9"}
    with override_settings(STORAGES=settings.STORAGES | {"artifacts": away | {"OPTIONS": options}}):
        with pytest.raises(Unavailable, match="storage of artifacts doesn't answer"):
            add_version("2", content=b"another")
        with pytest.raises(SourceFailed):
            StorageSource(storage=ArtifactStore.default().storage).send(DIGEST, offset=0)
        # Deleting doesn't wait for it: what is left behind nobody refers to.
        services.delete_version(version=ModelVersion.objects.get(), by=BY)
    assert not ModelVersion.objects.exists()


def test_a_storage_that_cannot_be_had_fails_the_checks(settings: Settings) -> None:
    assert not list(artifacts_can_be_kept())
    for entry in ({"BACKEND": "no.such.Storage"}, {"BACKEND": LOCAL, "OPTIONS": {"bucket": "b"}}):
        with override_settings(STORAGES=settings.STORAGES | {"artifacts": entry}):
            (found,) = artifacts_can_be_kept()
        assert found.id == "clipper.E006"
        assert "storage of artifacts can't be used" in found.msg


def test_options_that_are_no_object_are_named() -> None:
    environment = Environment(source={"CLIPPER_ARTIFACTS_OPTIONS": "[]"})
    artifact_storage(environment)
    assert [one.name for one in environment.wrong] == ["CLIPPER_ARTIFACTS_OPTIONS"]


def test_a_folder_may_be_named(settings: Settings, tmp_path: Path) -> None:
    environment = Environment(
        source={"CLIPPER_ARTIFACTS_OPTIONS": f'{{"location": "{tmp_path / "elsewhere"}"}}'}
    )
    storage = artifact_storage(environment)
    with override_settings(STORAGES=settings.STORAGES | {"artifacts": storage}):
        assert add().path_of(DIGEST) == tmp_path / "elsewhere" / DIGEST[:2] / DIGEST


def test_any_backend_of_django_keeps_artifacts(settings: Settings) -> None:
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.CLIPPER_ARTIFACT_COPIES = settings.CLIPPER_VAR / "artifact-copies"
    settings.CLIPPER_MIN_FREE_BYTES = 0
    with override_settings(STORAGES=settings.STORAGES | {"artifacts": memory}):
        store = add()
        with ArtifactFiles.default().opened(DIGEST, tell=ignored) as path:
            assert path.read_bytes() == CONTENT
        with closing(StorageSource(storage=store.storage).send(DIGEST, offset=9)) as arriving:
            assert b"".join(arriving.chunks) == CONTENT[9:]
    assert isinstance(ArtifactStore.default().storage, LocalArtifacts)
