"""All rows move from one database to another, unchanged, or none do."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clipper_site.stack.layout import sole_stack_of
from tests.site import manage
from tests.site.postgresql_server import postgresql_server

DATA = Path(__file__).parents[2] / "release" / "0.1.0.sql.gz"
# Numbers and nulls that databases write in other ways.
HARD = {"b": [1.0, 1e22, -0.0, 0.1, 1e-7, 2**60], "a": {"é": None, "t": 'a"\\u2028'}}
FILL = """
import sys, json, django
django.setup()
from datetime import datetime, UTC
from registry.models import Application
from selection.models import Feedback
moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
for number in range(20):
    Feedback.objects.create(
        application=Application.objects.get(), nonce=str(number), kind="input", issued_at=moment,
        received_at=moment, label="ä" * number, reward=None if number else 0.5,
        arms=json.loads(sys.argv[1]), overlap=-0.0 if number else 1 / 3,
    )
Feedback.objects.filter(nonce="3").update(answer=None)
"""
FEEDBACK = "SELECT nonce, label, reward, overlap, issued_at, answer FROM selection_feedback"

RELEASES = "SELECT * FROM registry_release"


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """The state of an earlier release, with labels."""
    folder = tmp_path / "var"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "clipper.sqlite3")) as database:
        database.executescript(gzip.decompress(DATA.read_bytes()).decode())
    for command in (("manage.py", "migrate", "-v0"), ("-c", FILL, json.dumps(HARD))):
        done = manage.run(*command, var=folder)
        assert done.returncode == 0, done.stderr
    return folder


def move(var: Path, url: str, *, database: str = "") -> tuple[int, str]:
    """Return the exit status, and what the command printed."""
    done = manage.run("manage.py", "move_database", url, var=var, DATABASE_URL=database)
    return done.returncode, done.stdout + done.stderr


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return sorted(database.execute(query).fetchall(), key=repr)


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.timeout(200)
def test_rows_move_to_postgresql_and_back_unchanged(var: Path, tmp_path: Path) -> None:
    back = tmp_path / "back.sqlite3"
    with postgresql_server() as url:
        status, said = move(var, url)
        assert (status, "selection_feedback: 20 rows" in said) == (0, True), said
        status, again = move(var, url)
        assert (status, "Expected an empty database" in again) == (1, True), again
        status, returned = move(var, f"sqlite:///{back}", database=url)
        assert status == 0, returned
        # New rows get numbers behind those that moved.
        assert manage.run("-c", NEW, var=var, DATABASE_URL=url).returncode == 0
    digests = [[line for line in text.splitlines() if "both" in line] for text in (said, returned)]
    assert digests[0] == digests[1] != []
    before = var / "clipper.sqlite3"
    for query in (FEEDBACK, "SELECT id, at, by, name FROM registry_auditentry", RELEASES):
        assert rows(back, query) == rows(before, query) != []
    (arms,) = rows(back, "SELECT arms FROM selection_feedback WHERE nonce = '0'")
    assert json.loads(str(arms[0])) == HARD


NEW = """
import django
django.setup()
from registry import services
services.create_model(name="new", input_type="json", by=services.Actor.of_command("test"))
"""


def test_a_row_that_arrives_changed_is_told_and_nothing_is_kept(var: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.sqlite3"
    done = manage.run("manage.py", "migrate", "-v0", var=var, DATABASE_URL=f"sqlite:///{target}")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(target)) as database:
        database.execute(
            "CREATE TRIGGER wrong AFTER INSERT ON selection_feedback WHEN NEW.nonce = '7' "
            "BEGIN UPDATE selection_feedback SET overlap = 0.5 WHERE id = NEW.id; END"
        )
    status, said = move(var, f"sqlite:///{target}")
    assert (status, "table selection_feedback differs" in said) == (1, True), said
    assert rows(target, FEEDBACK) == rows(target, "SELECT * FROM registry_model") == []


def test_a_stack_that_runs_is_not_moved(var: Path, tmp_path: Path) -> None:
    with sole_stack_of(var):
        status, said = move(var, f"sqlite:///{tmp_path}/target.sqlite3")
    assert (status, "A stack already runs" in said) == (1, True), said
    assert not (tmp_path / "target.sqlite3").exists()


def test_what_is_no_url_of_a_database_is_refused(tmp_path: Path) -> None:
    status, said = move(tmp_path, "oracle:nothing")
    assert (status, said.count("\n")) == (1, 1), said
