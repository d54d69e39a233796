"""Uploads: looked at before their body is read, few at a time, one copy on disk, no rest."""

import asyncio
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from pytest_django.fixtures import Settings

from registry import services
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.incoming import PREFIX
from registry.models import ModelVersion
from tests.site.uploads.asgi_client import CHUNK, Client, Headers, ask, console, key_header
from tests.small_disk import small_disk

pytestmark = pytest.mark.django_db(transaction=True)

SIZE = 8 * CHUNK
REST, CONSOLE = "/api/v1/models/svm/versions/", "/admin/registry/modelversion/add/"


def form(content: bytes, **fields: str) -> bytes:
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), value.encode())
        for name, value in ({"version": "1", "runtime": "sklearn"} | fields).items()
    ]
    parts.append(
        b'--xyz\r\nContent-Disposition: form-data; name="artifact"; filename="model"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--xyz--\r\n"
    )
    return b"".join(parts)


def upload(body: bytes, *, path: str = REST, headers: Headers = (), **more: Any) -> Client:
    form = ("content-type", "multipart/form-data; boundary=xyz")
    fields = (("content-length", str(len(body))), form, *headers)
    return Client(path=path, body=body, headers=fields, **more)


@pytest.fixture(autouse=True)
def spool(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which Django would keep a body."""
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    settings.CLIPPER_MIN_FREE_BYTES = 0
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def model(spool: Path) -> None:
    services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)


def session(*permissions: str) -> Headers:
    user = User.objects.create_user("grace", password="a long enough password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Browser()
    browser.force_login(user)
    return (("cookie", "; ".join(f"{k}={v.value}" for k, v in browser.cookies.items())),)


def on_disk(settings: Settings, spool: Path) -> list[Path]:
    return [p for p in [*settings.CLIPPER_ARTIFACTS.rglob("*"), *spool.rglob("*")] if p.is_file()]


def incoming(settings: Settings) -> list[Path]:
    return list(settings.CLIPPER_ARTIFACTS.glob(f"{PREFIX}*"))


# --- who -------------------------------------------------------------------------------------


def test_a_known_caller_uploads_with_one_copy_on_disk(settings: Settings, spool: Path) -> None:
    content = bytes(range(256)) * (SIZE // 256)
    most: list[int] = []

    def look(position: int) -> None:
        files = on_disk(settings, spool)
        most.append(len(files))
        assert sum(file.stat().st_size for file in files) <= position

    done = ask(upload(form(content), headers=key_header("manage"), before=look))

    assert done.status == 201, done.json
    assert max(most) == 1
    digest = hashlib.sha256(content).hexdigest()
    assert [p.name for p in on_disk(settings, spool)] == [digest]
    assert ArtifactStore.default().path_of(digest).read_bytes() == content
    version = ModelVersion.objects.get()
    assert (version.digest, version.size) == (digest, SIZE)


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("a stranger", REST, 401),
        ("a key that predicts", REST, 403),
        ("staff without the permission", REST, 403),
        ("staff without the permission", CONSOLE, 403),
        ("a stranger", CONSOLE, 302),
    ],
)
def test_who_may_not_upload_is_refused_and_nothing_of_the_body_is_kept(
    settings: Settings, spool: Path, who: str, path: str, status: int
) -> None:
    headers: Headers = ()
    if who == "a key that predicts":
        headers = key_header("predict", "feedback")
    elif who.startswith("staff"):
        headers = session("view_modelversion")
    kept: list[Path] = []

    def look(_: int) -> None:
        kept.extend(on_disk(settings, spool))

    done = ask(upload(form(bytes(SIZE)), path=path, headers=headers, before=look))
    assert done.status == status
    assert kept == on_disk(settings, spool) == []
    if status == 302:
        location = dict(done.answer[0]["headers"])[b"location"]
        assert location == b"/admin/login/?next=/admin/registry/modelversion/add/"


# --- how many, how large ---------------------------------------------------------------------


def test_uploads_beyond_so_many_at_once_are_told_to_come_again(settings: Settings) -> None:
    settings.CLIPPER_UPLOADS_AT_ONCE = 1
    headers = key_header("manage")
    first = upload(form(bytes(SIZE)), headers=headers)
    second = upload(form(bytes(SIZE), version="2"), headers=headers)
    third = upload(form(bytes(SIZE), version="3"), headers=headers)

    async def asked() -> None:
        app = console()
        first.holds = asyncio.Event()
        uploading = asyncio.ensure_future(app(first.scope, first.receive, first.send))
        await asyncio.wait_for(first.holding.wait(), 20)
        await app(second.scope, second.receive, second.send)
        first.holds.set()
        await uploading
        await app(third.scope, third.receive, third.send)

    asyncio.run(asked())
    assert [first.status, second.status, third.status] == [201, 503, 201]
    assert second.json["code"] == "saturated"
    assert b"retry-after" in dict(second.answer[0]["headers"])


def test_an_upload_that_leaves_too_little_room_is_refused_first(
    settings: Settings, spool: Path
) -> None:
    settings.CLIPPER_MIN_FREE_BYTES = 1 << 60
    done = ask(upload(form(bytes(SIZE)), headers=key_header("manage")))
    assert done.status == 507
    assert done.json["code"] == "insufficient_storage"
    assert str(1 << 60) in done.json["error"]
    assert on_disk(settings, spool) == []


def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_is_left(
    settings: Settings, spool: Path
) -> None:
    headers = key_header("manage")
    with small_disk(megabytes=4) as disk:
        settings.CLIPPER_ARTIFACTS = disk.path / "artifacts"
        full: list[bool] = []

        def fill(position: int) -> None:
            if position > 0 and not full:
                full.append(True)
                disk.fill()

        body = form(bytes(3 * CHUNK), version="1")
        refused = ask(upload(body, headers=headers, before=fill))
        assert refused.status == 507, refused.json
        assert refused.json["code"] == "insufficient_storage"
        assert incoming(settings) == []
        disk.free()
        assert ask(upload(body, headers=headers)).status == 201


# --- what is left ----------------------------------------------------------------------------


def test_nothing_is_left_of_an_upload_whose_client_goes(
    settings: Settings, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    client = upload(
        form(bytes(SIZE)),
        headers=key_header("manage"),
        before=lambda _: seen.append(len(incoming(settings))),
        leaves_at=4 * CHUNK,
    )
    ask(client)
    assert max(seen) == 1
    assert on_disk(settings, spool) == []
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


def test_the_beginning_of_a_file_is_refused_as_such_and_the_whole_is_taken_after_it(
    settings: Settings, spool: Path
) -> None:
    whole, manager = form(bytes(SIZE)), key_header("manage")
    cut = ask(upload(whole[: SIZE // 2], headers=manager))
    assert (cut.status, cut.json["code"]) == (400, "malformed")
    assert on_disk(settings, spool) == []
    assert not ModelVersion.objects.exists()
    assert ask(upload(whole, headers=manager)).status == 201


def test_bytes_that_changed_on_their_way_are_refused(settings: Settings, spool: Path) -> None:
    content = bytes(CHUNK)
    digest = hashlib.sha256(content).hexdigest()
    manager = key_header("manage")
    changed = ask(upload(form(b"x" + content[1:], sha256=digest), headers=manager))
    assert (changed.status, changed.json["code"]) == (400, "malformed")
    assert digest in changed.json["error"]
    assert on_disk(settings, spool) == []
    assert not ModelVersion.objects.exists()
    assert ask(upload(form(content, sha256=digest.upper()), headers=manager)).status == 201


def test_remnants_of_killed_uploads_are_cleared_away_and_others_are_not(
    settings: Settings,
) -> None:
    settings.CLIPPER_ARTIFACTS.mkdir()
    old, fresh = (settings.CLIPPER_ARTIFACTS / f"{PREFIX}{name}" for name in ("old", "fresh"))
    old.touch()
    fresh.touch()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert ask(upload(form(b"a model"), headers=key_header("manage"), piece=7)).status == 201
    assert (old.exists(), fresh.exists()) == (False, True)
