"""The content-addressed store."""

import hashlib
import io
from typing import BinaryIO

import pytest
from pytest_django.fixtures import Settings

from core.errors import BodyTooLarge, NotFound
from registry.artifacts.artifact_store import ArtifactStore


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    settings.CLIPPER_MAX_ARTIFACT_BYTES = 100
    return ArtifactStore.default()


def add(store: ArtifactStore, source: BinaryIO) -> tuple[str, int]:
    with store.received(source) as incoming:
        store.send(incoming)
        store.settle(incoming)
        return incoming.digest, incoming.received


def test_it_keeps_an_artifact_read_only_under_its_sha256(
    store: ArtifactStore, settings: Settings
) -> None:
    digest, size = add(store, io.BytesIO(b"a model"))
    assert (digest, size) == (hashlib.sha256(b"a model").hexdigest(), 7)
    path = store.path_of(digest)
    assert path.read_bytes() == b"a model"
    assert path == settings.CLIPPER_ARTIFACTS / digest[:2] / digest
    assert path.stat().st_mode & 0o777 == 0o400


def test_a_file_that_a_model_may_be_reading_stays_where_the_same_comes_again(
    store: ArtifactStore,
) -> None:
    path = store.path_of(add(store, io.BytesIO(b"same"))[0])
    before = path.stat().st_ino
    add(store, io.BytesIO(b"same"))
    assert path.stat().st_ino == before
    # Received while there was none, as where several send the same at once.
    path.unlink()
    with (
        store.received(io.BytesIO(b"same")) as first,
        store.received(io.BytesIO(b"same")) as second,
    ):
        for incoming in (first, second):
            store.send(incoming)
        store.settle(first)
        settled = path.stat().st_ino
        store.settle(second)
    assert path.stat().st_ino == settled
    assert path.read_bytes() == b"same"
    assert [file for file in store.spool.rglob("*") if file.is_file()] == [path]


def test_a_file_that_was_cut_short_is_mended_by_sending_it_again(store: ArtifactStore) -> None:
    path = store.path_of(add(store, io.BytesIO(b"same"))[0])
    path.chmod(0o600)
    path.write_bytes(b"sam")
    add(store, io.BytesIO(b"same"))
    assert path.read_bytes() == b"same"


def test_an_artifact_that_is_too_large_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(BodyTooLarge, match="at most 100 bytes"):
        add(store, io.BytesIO(b"x" * 101))
    assert list(store.spool.iterdir()) == []


def test_a_source_that_breaks_off_leaves_nothing(store: ArtifactStore) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        add(store, Torn())
    assert list(store.spool.iterdir()) == []


def test_what_is_removed_is_missing(store: ArtifactStore) -> None:
    digest, _ = add(store, io.BytesIO(b"a model"))
    store.remove(digest)
    store.remove(digest)
    with pytest.raises(NotFound, match="missing"):
        store.path_of(digest)
