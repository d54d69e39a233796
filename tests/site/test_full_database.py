"""A database that is full: a change is refused as such and leaves nothing, what is read is read."""

import gc
import json
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connections
from django.http import HttpResponse
from django.test import Client

from clipper_site.asgi.held_database import held_open
from registry import services
from registry.databases import database_error
from registry.models import ApiKey, Model
from registry.services import Actor
from tests.site import manage
from tests.site.postgresql_server import postgresql_server
from tests.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.django_db(transaction=True)

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)
PASSWORD = "the password of a test"
LOGIN, MODELS, ADD_MODEL = "/admin/login/", "/admin/registry/model/", "/admin/registry/model/add/"
MODEL = {"name": "svm", "input_type": "doubles", "description": ""}


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """A small one, with the database that this process uses meanwhile."""
    own = connections["default"]
    with small_disk(megabytes=32) as disk:
        path = disk.path / "clipper.sqlite3"
        with (
            closing(sqlite3.connect(own.settings_dict["NAME"])) as source,
            closing(sqlite3.connect(path)) as copy,
        ):
            source.backup(copy)
        theirs = type(own)({**own.settings_dict, "NAME": str(path)}, "default")
        connections["default"] = theirs
        try:
            yield disk
        finally:
            theirs.close()
            connections["default"] = own


def fill(disk: SmallDisk) -> None:
    """Leave no room, not even what the log of writes has taken already."""
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.fill()


@pytest.fixture
def person(disk: SmallDisk) -> User:
    return User.objects.create_superuser("ann", password=PASSWORD)


@pytest.fixture
def browser() -> Client:
    return Client(raise_request_exception=False)


@contextmanager
def no_room_for_sessions() -> Iterator[None]:
    """Whoever changes a session of this database finds no room, and nobody else."""
    with connections["default"].cursor() as cursor:
        cursor.execute("CREATE TABLE ballast (bytes BLOB)")
        cursor.execute(
            "CREATE TRIGGER no_room BEFORE UPDATE ON django_session"
            " BEGIN INSERT INTO ballast VALUES (zeroblob(16 << 20)); END"
        )
        (pages,) = cursor.execute("PRAGMA page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages + 100}")
    try:
        yield
    finally:
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TRIGGER no_room")
            cursor.execute("DROP TABLE ballast")
            cursor.execute("PRAGMA max_page_count = 4294967294")


def test_nobody_signs_in_and_is_told_why(disk: SmallDisk, person: User, browser: Client) -> None:
    form = {"username": "ann", "password": PASSWORD}
    fill(disk)

    refused = browser.post(LOGIN, form)

    assert refused.status_code == 507
    assert refused.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
    assert settings.SESSION_COOKIE_NAME not in browser.cookies
    assert not Session.objects.exists()
    person.refresh_from_db()
    assert person.last_login is None

    disk.free()
    assert browser.post(LOGIN, form).status_code == 302
    assert settings.SESSION_COOKIE_NAME in browser.cookies
    person.refresh_from_db()
    assert person.last_login is not None


def test_a_form_leaves_nothing_and_whoever_is_signed_in_reads_on(
    disk: SmallDisk, person: User, browser: Client
) -> None:
    browser.force_login(person)
    assert browser.post(ADD_MODEL, MODEL).status_code == 302  # and leaves a message to be read
    fill(disk)

    refused = browser.post(ADD_MODEL, MODEL | {"name": "tree"})
    assert refused.status_code == 507
    for page in (MODELS, MODELS, "/admin/registry/application/"):
        assert browser.get(page).status_code == 200
    assert list(Model.objects.values_list("name", flat=True)) == ["svm"]

    disk.free()
    assert browser.post(ADD_MODEL, MODEL | {"name": "tree"}).status_code == 302
    assert Model.objects.count() == 2


def test_what_a_web_process_holds_open_can_be_read_by_each_new_connection(
    disk: SmallDisk, person: User
) -> None:
    """A request opens the database anew, at times as the only one."""
    connection = connections["default"]
    with held_open():
        connection.close()
        disk.fill()
        assert list(User.objects.all()) == [person]
    connection.close()  # the last one, with whom the files go
    disk.fill()
    with pytest.raises(OperationalError) as refused:
        list(User.objects.all())
    assert database_error(refused.value).status == 507
    # Django doesn't close a connection whose first statement fails, of which Python 3.13 warns.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        del refused
        gc.collect()


def test_over_rest_it_is_the_one_error_shape(disk: SmallDisk, browser: Client) -> None:
    _, text = services.create_api_key(name="ci", scopes=["manage"], by=BY)
    headers = {"Authorization": f"Api-Key {text}"}

    def add() -> HttpResponse:
        body = json.dumps({"name": "svm", "input_type": "doubles"})
        sent = browser.post("/api/v1/models/", body, "application/json", headers=headers)
        assert isinstance(sent, HttpResponse)
        return sent

    fill(disk)
    refused = add()
    assert refused.status_code == 507
    body = json.loads(refused.content)
    assert (body["code"], body["details"]) == ("insufficient_storage", {})
    assert browser.get("/api/v1/models/", headers=headers).json() == []

    disk.free()
    assert add().status_code == 201


def test_a_new_key_is_shown_though_the_next_page_could_not_show_it(browser: Client) -> None:
    browser.force_login(User.objects.create_superuser("ann"))

    with no_room_for_sessions():
        page = browser.post("/admin/registry/apikey/add/", {"name": "ci", "can_predict": "on"})

    assert page.status_code == 200
    key = ApiKey.objects.get()
    assert key.prefix in page.content.decode()
    assert 'href="/admin/registry/apikey/' in page.content.decode()
    assert browser.get("/admin/").status_code == 200


def test_a_session_that_is_begun_and_cannot_be_kept_signs_nobody_in(browser: Client) -> None:
    User.objects.create_superuser("ann", password=PASSWORD)

    with no_room_for_sessions():
        refused = browser.post(LOGIN, {"username": "ann", "password": PASSWORD})

    assert refused.status_code == 507
    assert browser.get("/admin/").status_code == 302


@pytest.mark.postgres
def test_postgresql_says_it_in_its_own_way(tmp_path: Path) -> None:
    with postgresql_server() as url:
        done = manage.run("-c", TOLD, var=tmp_path, DATABASE_URL=url)
    assert (done.returncode, done.stdout.split()) == (0, ["507", "503"]), done.stderr


# As where a table can't grow; and an error of another kind.
TOLD = """
import django
django.setup()
from django.db import OperationalError, connection
from registry.databases import database_error

for code in ("53100", "55P03"):
    try:
        connection.cursor().execute(
            f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"
        )
    except OperationalError as error:
        print(database_error(error).status)
"""
