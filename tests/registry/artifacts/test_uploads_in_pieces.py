"""A large artifact comes in pieces, goes on where it broke off, and is registered by its sha256."""

import gc
import hashlib
import os
import resource
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from core.errors import Conflict
from core.file_lock import try_lock
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.parts import MOST_OF_ONE, MOST_PARTS, UploadParts
from registry.models import Model, ModelVersion
from tests.registry.conftest import Api, make_key

CONTENT = b"an artifact in three pieces"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PIECES = (CONTENT[:10], CONTENT[10:20], CONTENT[20:])


def send(api: Api, piece: bytes, *, offset: int, digest: str = DIGEST, total: int = 0) -> Any:
    last = offset + len(piece) - 1
    return api.client.put(
        f"/api/v1/uploads/{digest}",
        piece,
        content_type="application/octet-stream",
        headers=api.headers | {"Content-Range": f"bytes {offset}-{last}/{total or len(CONTENT)}"},
    )


def send_all(api: Api) -> None:
    offset = 0
    for piece in PIECES:
        assert send(api, piece, offset=offset).json() == {"received": offset + len(piece)}
        offset += len(piece)


def register(api: Api, **form: Any) -> Any:
    return api.upload("svm", **{"version": "1", "runtime": "sklearn", "sha256": DIGEST, **form})


def remnants(settings: Settings) -> list[Path]:
    return list(Path(settings.CLIPPER_ARTIFACTS).glob(".incoming-*"))


@pytest.fixture
def one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.artifacts.parts.MOST_PARTS", 1)


def test_it_becomes_a_version_and_nothing_else_stays(
    manager: Api, svm: Model, settings: Settings
) -> None:
    send_all(manager)
    answer = register(manager)
    assert answer.status_code == 201, answer.content
    assert (answer.json()["digest"], answer.json()["size"]) == (DIGEST, len(CONTENT))
    assert ArtifactStore.default().path_of(DIGEST).read_bytes() == CONTENT
    assert remnants(settings) == []
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": 0}


def test_it_says_how_much_is_there_and_takes_what_follows_alone(manager: Api) -> None:
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": 0}
    send(manager, PIECES[0], offset=0)
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": 10}
    for offset in (0, 5, 11):
        again = send(manager, PIECES[1], offset=offset)
        assert (again.status_code, again.json()["details"]) == (409, {"received": 10})
    assert send(manager, PIECES[1], offset=10).json() == {"received": 20}


def test_half_of_it_is_no_version_and_stays(manager: Api, svm: Model) -> None:
    assert "there is none" in register(manager).json()["error"]
    send(manager, PIECES[0], offset=0)
    answer = register(manager)
    assert answer.status_code == 400
    assert (
        answer.json()["error"]
        == "sha256: Expected all of an artifact, got 10 of its 27 bytes so far."
    )
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": 10}


def test_what_has_just_become_another_version_is_said_to_be_none(
    manager: Api, svm: Model, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_all(manager)
    (part,) = remnants(settings)

    def taken_before(descriptor: int, operation: int) -> bool:
        part.rename(part.with_name("taken"))
        return try_lock(descriptor, operation)

    monkeypatch.setattr("registry.artifacts.parts.try_lock", taken_before)
    answer = register(manager)
    assert (answer.status_code, "there is none" in answer.json()["error"]) == (400, True)
    part.symlink_to("nowhere")  # it is seen, and gone when it is looked at
    answer = register(manager)
    assert (answer.status_code, "there is none" in answer.json()["error"]) == (400, True)
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": 0}


def test_it_stays_where_the_version_is_refused(manager: Api, svm: Model) -> None:
    send_all(manager)
    assert register(manager, replicas="many").status_code == 400
    assert register(manager, runtime="pyhton").status_code == 400
    assert register(manager).status_code == 201


def test_what_was_changed_on_its_way_is_told_and_removed(
    manager: Api, svm: Model, settings: Settings
) -> None:
    send(manager, b"x" * len(CONTENT), offset=0)
    answer = register(manager)
    assert answer.status_code == 400
    assert "got one with" in answer.json()["error"]
    assert remnants(settings) == []
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("wrong", [len(CONTENT) - 4, len(CONTENT) + 30])
def test_who_says_another_total_keeps_nobody_from_sending_it(
    manager: Api, svm: Model, wrong: int
) -> None:
    send(manager, b"x" * (len(CONTENT) - 4), offset=0, total=wrong)

    def received(total: int) -> Any:
        return manager("get", f"uploads/{DIGEST}?total={total}").json()["received"]

    assert received(len(CONTENT)) == 0
    assert received(wrong) == len(CONTENT) - 4
    send_all(manager)
    assert received(len(CONTENT)) == len(CONTENT)
    assert register(manager).status_code == 201


@pytest.mark.parametrize("sha256", ["*", "?" * 64, f"../{DIGEST}", DIGEST[:10]])
def test_what_is_no_digest_reaches_nobody_elses_pieces(
    manager: Api, svm: Model, sha256: str
) -> None:
    send_all(manager)
    answer = register(manager, sha256=sha256)
    assert answer.status_code == 400
    assert "64 hexadecimal digits" in answer.json()["error"]
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": len(CONTENT)}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Content-Range": "bytes 0-9/5"}, 400),
        ({"Content-Range": "bytes 0-8/27"}, 400),
        ({"Content-Range": "bytes 20-29/27"}, 400),
        ({"Content-Range": "bytes 0-9/99999999999999"}, 413),
    ],
)
def test_a_range_that_cannot_be_is_refused(
    manager: Api, headers: dict[str, str], status: int
) -> None:
    answer = manager.client.put(
        f"/api/v1/uploads/{DIGEST}",
        PIECES[0],
        content_type="application/octet-stream",
        headers=manager.headers | headers,
    )
    assert answer.status_code == status, answer.content


def test_a_full_disk_is_told_before_anything_is_kept(manager: Api, settings: Settings) -> None:
    settings.CLIPPER_MIN_FREE_BYTES = 1 << 60
    assert send(manager, PIECES[0], offset=0).status_code == 507
    assert remnants(settings) == []


def test_a_piece_that_fitted_in_part_is_said_to_be_there_in_part(settings: Settings) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15, hard))
    try:
        parts = UploadParts.default()
        received = parts.append(DIGEST, offset=0, total=len(CONTENT), piece=CONTENT, sender="me")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert received == parts.received(DIGEST) == 15


@pytest.mark.usefixtures("one_part")
def test_only_so_many_are_begun(manager: Api) -> None:
    assert send(manager, PIECES[0], offset=0).status_code == 200
    other = send(manager, b"x", offset=0, digest="0" * 64)
    assert (other.status_code, other.json()["code"]) == (503, "saturated")
    assert send(manager, PIECES[1], offset=10).status_code == 200
    assert MOST_PARTS > 1


def test_pieces_that_have_come_are_let_go_of_at_once(manager: Api) -> None:
    """A request lives until its cycles are collected; the test client keeps each piece once too."""
    piece, count = b"x" * (1 << 20), 12
    send(manager, piece, offset=0, total=count * len(piece))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for number in range(1, count):
            send(manager, piece, offset=number * len(piece), total=count * len(piece))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": count * len(piece)}
    assert held < 1.5 * count * len(piece)


def test_one_key_leaves_room_for_others(manager: Api) -> None:
    digests = [f"{number:064x}" for number in range(MOST_OF_ONE + 1)]
    for digest in digests[:-1]:
        assert send(manager, PIECES[0], offset=0, digest=digest).status_code == 200
    refused = send(manager, PIECES[0], offset=0, digest=digests[-1])
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert f"has begun {MOST_OF_ONE} artifacts that aren't versions yet" in refused.json()["error"]
    assert send(manager, PIECES[1], offset=10, digest=digests[0]).status_code == 200
    other = Api(key=make_key())
    assert send(other, PIECES[0], offset=0, digest=digests[-1]).status_code == 200
    # Who goes on with what another one has begun takes no place.
    assert send(manager, PIECES[1], offset=10, digest=digests[-1]).status_code == 200


def test_those_who_begin_the_same_at_once_share_one(settings: Settings) -> None:
    parts, ready = UploadParts.default(), threading.Barrier(4)

    def begin(number: int) -> int:
        ready.wait(timeout=20)
        try:
            return parts.append(
                DIGEST, offset=0, total=len(CONTENT), piece=PIECES[0], sender=f"key-{number}"
            )
        except Conflict:
            return 0

    with ThreadPoolExecutor(max_workers=4) as pool:
        received = list(pool.map(begin, range(4)))
    assert max(received) == parts.received(DIGEST) == len(PIECES[0])
    assert len(remnants(settings)) == 1


def test_two_do_not_write_into_each_other(manager: Api, svm: Model) -> None:
    send_all(manager)
    with UploadParts.default().whole(DIGEST):
        answer = register(manager)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_what_nobody_adds_to_is_removed(manager: Api, settings: Settings) -> None:
    send(manager, PIECES[0], offset=0)
    (part,) = remnants(settings)
    old = time.time() - 7200
    os.utime(part, (old, old))
    assert ArtifactStore.default().clear_remnants() == 1
    assert manager("get", f"uploads/{DIGEST}").json() == {"received": 0}


def test_a_form_with_a_file_does_not_look_for_pieces(manager: Api, svm: Model) -> None:
    send(manager, PIECES[0], offset=0)
    file = SimpleUploadedFile("a.skops", CONTENT)
    assert register(manager, artifact=file).status_code == 201
    assert register(Api(client=Client()), version="2").status_code == 401
