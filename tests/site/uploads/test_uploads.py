"""Uploads: looked at before their body is read, few at a time, one copy on disk, no rest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser
from pytest_django.fixtures import Settings

from clipper_site.bodies import with_limited_bodies
from clipper_site.uploads import LINGER_S, UploadHandlingASGIHandler
from registry import services
from registry.artifacts.incoming import PREFIX
from registry.artifacts.store import ArtifactStore
from registry.models import ModelVersion
from registry.services import Actor
from serving.http.asgi import Scope
from tests.small_disk import small_disk

pytestmark = pytest.mark.django_db(transaction=True)

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)
CHUNK = 1 << 20
SIZE = 8 * CHUNK
REST, CONSOLE = "/api/v1/models/svm/versions/", "/admin/registry/modelversion/add/"
Message = MutableMapping[str, Any]


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


class Client:
    """Sends a form piece by piece, and may stop, look around or leave in its middle."""

    def __init__(
        self,
        *,
        path: str = REST,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes,
        before: Callable[[int], None] = lambda position: None,
        leaves_at: int | None = None,
        piece: int = CHUNK,
    ) -> None:
        given = [("host", "localhost"), ("content-length", str(len(body))), *headers]
        given.append(("content-type", "multipart/form-data; boundary=xyz"))
        self.scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given],
        }
        self.body = body
        self.position = 0
        self.holds: asyncio.Event | None = None
        self.holding = asyncio.Event()
        self._before = before
        self._leaves_at = leaves_at
        self._piece = piece
        self.answer: list[Message] = []

    async def receive(self) -> Message:
        if self._leaves_at is not None and self.position >= self._leaves_at:
            return {"type": "http.disconnect"}
        if self.holds is not None and self.position > 0:
            self.holding.set()
            await self.holds.wait()
        if self.position == len(self.body):
            await asyncio.Event().wait()  # a client that waits for its answer
        self._before(self.position)
        chunk = self.body[self.position : self.position + self._piece]
        self.position += len(chunk)
        return {
            "type": "http.request",
            "body": chunk,
            "more_body": self.position < len(self.body),
        }

    async def send(self, message: Message) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int:
        return int(self.answer[0]["status"])

    @property
    def json(self) -> Any:
        return msgspec.json.decode(b"".join(one["body"] for one in self.answer[1:]))


def application() -> Any:
    return with_limited_bodies(UploadHandlingASGIHandler())  # type: ignore[arg-type]  # Django's


def ask(client: Client) -> Client:
    async def asked() -> None:
        await application()(client.scope, client.receive, client.send)

    asyncio.run(asked())
    return client


@pytest.fixture(autouse=True)
def spool(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Django would keep a body."""
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    settings.CLIPPER_MIN_FREE_BYTES = 0
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def model(spool: Path) -> None:
    services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)


def key(*scopes: str) -> tuple[tuple[str, str], ...]:
    _, text = services.create_api_key(name="a key", scopes=scopes, by=BY)
    return (("authorization", f"Api-Key {text}"),)


def session(*permissions: str) -> tuple[tuple[str, str], ...]:
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

    done = ask(Client(headers=key("manage"), body=form(content), before=look))

    assert done.status == 201, done.json
    assert max(most) == 1
    digest = hashlib.sha256(content).hexdigest()
    assert [p.name for p in on_disk(settings, spool)] == [digest]
    assert ArtifactStore.default().path_of(digest).read_bytes() == content
    version = ModelVersion.objects.get()
    assert (version.digest, version.size) == (digest, SIZE)


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 4321])
def test_in_whatever_pieces_it_comes_all_of_it_is_stored(size: int, settings: Settings) -> None:
    content = random.Random(size).randbytes(size)
    done = ask(Client(headers=key("manage"), body=form(content), piece=7_919))
    assert done.status == 201, done.json
    digest = hashlib.sha256(content).hexdigest()
    assert ArtifactStore.default().path_of(digest).read_bytes() == content
    assert ModelVersion.objects.get().size == size


def test_nothing_of_a_strangers_body_is_kept(settings: Settings, spool: Path) -> None:
    kept: list[Path] = []
    done = ask(
        Client(body=form(bytes(SIZE)), before=lambda _: kept.extend(on_disk(settings, spool)))
    )
    assert done.status == 401
    assert done.json["code"] == "unauthenticated"
    assert (b"connection", b"close") in done.answer[0]["headers"]
    assert kept == on_disk(settings, spool) == []


@pytest.mark.parametrize("scopes", [("predict",), ("predict", "feedback")])
def test_a_key_that_manages_nothing_is_refused_before_its_body(
    scopes: tuple[str, ...], settings: Settings, spool: Path
) -> None:
    done = ask(Client(headers=key(*scopes), body=form(bytes(SIZE))))
    assert done.status == 403
    assert on_disk(settings, spool) == []


@pytest.mark.parametrize(("permissions", "status"), [((), 403), (("view_modelversion",), 403)])
def test_staff_need_the_permission(
    permissions: tuple[str, ...], status: int, settings: Settings, spool: Path
) -> None:
    headers = session(*permissions)
    for path in (REST, CONSOLE):
        done = ask(Client(path=path, headers=headers, body=form(bytes(SIZE))))
        assert done.status == status
    assert on_disk(settings, spool) == []


def test_who_isnt_signed_in_to_the_console_is_sent_to_do_so(
    settings: Settings, spool: Path
) -> None:
    done = ask(Client(path=CONSOLE, body=form(bytes(SIZE))))
    assert done.status == 302
    location = dict(done.answer[0]["headers"])[b"location"]
    assert location == b"/admin/login/?next=/admin/registry/modelversion/add/"
    assert on_disk(settings, spool) == []


def test_a_file_sent_to_a_page_that_takes_none_is_not_kept(settings: Settings, spool: Path) -> None:
    kept: list[Path] = []
    body = form(bytes(CHUNK))
    done = ask(
        Client(
            path="/admin/login/",
            body=body,
            before=lambda _: kept.extend(on_disk(settings, spool)),
        )
    )
    assert done.status == 403  # no CSRF token
    assert kept == on_disk(settings, spool) == []


# --- how many, how large ---------------------------------------------------------------------


def test_uploads_beyond_so_many_at_once_are_told_to_come_again(settings: Settings) -> None:
    settings.CLIPPER_UPLOADS_AT_ONCE = 1
    headers = key("manage")
    first = Client(headers=headers, body=form(bytes(SIZE)))
    second = Client(headers=headers, body=form(bytes(SIZE), version="2"))
    third = Client(headers=headers, body=form(bytes(SIZE), version="3"))

    async def asked() -> None:
        app = application()
        first.holds = asyncio.Event()
        uploading = asyncio.create_task(app(first.scope, first.receive, first.send))
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
    done = ask(Client(headers=key("manage"), body=form(bytes(SIZE))))
    assert done.status == 507
    assert done.json["code"] == "insufficient_storage"
    assert str(1 << 60) in done.json["error"]
    assert on_disk(settings, spool) == []


def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_is_left(
    settings: Settings, spool: Path
) -> None:
    headers = key("manage")
    with small_disk(megabytes=4) as disk:
        settings.CLIPPER_ARTIFACTS = disk.path / "artifacts"
        full: list[bool] = []

        def fill(position: int) -> None:
            if position > 0 and not full:
                full.append(True)
                disk.fill()

        body = form(bytes(3 * CHUNK), version="1")
        refused = ask(Client(headers=headers, body=body, before=fill))
        assert refused.status == 507, refused.json
        assert refused.json["code"] == "insufficient_storage"
        assert incoming(settings) == []
        disk.free()
        assert ask(Client(headers=headers, body=body)).status == 201


# --- what is left ----------------------------------------------------------------------------


def test_nothing_is_left_of_an_upload_whose_client_goes(
    settings: Settings, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    client = Client(
        headers=key("manage"),
        body=form(bytes(SIZE)),
        before=lambda _: seen.append(len(incoming(settings))),
        leaves_at=4 * CHUNK,
    )
    ask(client)
    assert max(seen) == 1
    assert on_disk(settings, spool) == []
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


def test_nothing_is_left_of_an_upload_that_is_refused(settings: Settings, spool: Path) -> None:
    done = ask(Client(headers=key("manage"), body=form(bytes(SIZE), runtime="no-such")))
    assert done.status == 400
    assert on_disk(settings, spool) == []


def test_the_beginning_of_a_file_is_refused_as_such_and_the_whole_is_taken_after_it(
    settings: Settings, spool: Path
) -> None:
    whole, manager = form(bytes(SIZE)), key("manage")
    cut = ask(Client(headers=manager, body=whole[: SIZE // 2]))
    assert (cut.status, cut.json["code"]) == (400, "malformed")
    assert cut.json["error"].startswith("artifact: Expected a whole file, got the beginning of one")
    assert on_disk(settings, spool) == []
    assert not ModelVersion.objects.exists()
    assert ask(Client(headers=manager, body=whole)).status == 201


def test_bytes_that_changed_on_their_way_are_refused(settings: Settings, spool: Path) -> None:
    content = bytes(CHUNK)
    digest = hashlib.sha256(content).hexdigest()
    manager = key("manage")
    changed = ask(Client(headers=manager, body=form(b"x" + content[1:], sha256=digest)))
    assert (changed.status, changed.json["code"]) == (400, "malformed")
    assert changed.json["error"] == (
        f"sha256: Expected an artifact with the digest {digest}, got one with "
        f"{hashlib.sha256(b'x' + content[1:]).hexdigest()}: it was changed on its way."
    )
    assert on_disk(settings, spool) == []
    assert not ModelVersion.objects.exists()
    assert ask(Client(headers=manager, body=form(content, sha256=digest.upper()))).status == 201


@pytest.fixture
def remnants(settings: Settings) -> tuple[Path, Path]:
    folder = settings.CLIPPER_ARTIFACTS
    folder.mkdir()
    old, fresh = folder / f"{PREFIX}old", folder / f"{PREFIX}fresh"
    old.touch()
    fresh.touch()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    return old, fresh


def test_remnants_of_killed_uploads_are_cleared_away_and_others_are_not(
    remnants: tuple[Path, Path],
) -> None:
    old, fresh = remnants
    assert ask(Client(headers=key("manage"), body=form(b"a model"))).status == 201
    assert not old.exists()
    assert fresh.exists()


def test_a_refused_client_is_not_waited_for_without_end() -> None:
    client = Client(body=form(bytes(SIZE)))

    async def asked() -> float:
        client.holds = asyncio.Event()
        started = time.monotonic()
        await application()(client.scope, client.receive, client.send)
        return time.monotonic() - started

    assert asyncio.run(asyncio.wait_for(asked(), LINGER_S + 30)) >= LINGER_S
    assert client.status == 401
    assert client.answer[-1]["more_body"] is False
