"""Fixtures and settings that all tests share."""

import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.apps import AppConfig
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.management import create_contenttypes
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.signals import post_migrate
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django.plugin import DjangoDbBlocker

from core.file_lock import only_one
from registry.security import throttle
from serving.cluster.membership import directory, views, workers
from tests.environment import FOLDER, OF_ALL
from tests.made_once import Inserts

ROOT = Path(__file__).resolve().parents[1]
# Tests empty the tables between them, so they go without; `test_append_only` has them installed.
AUDIT: list[Any] = [
    importlib.import_module(f"registry.migrations.{name}")
    for name in ("0001_initial", "0004_timeline")
]
TRIGGERS: dict[str, list[str]] = {
    vendor: [statement for migration in AUDIT for statement in migration.MADE[vendor]]
    for vendor in AUDIT[0].MADE
}
for migration in AUDIT:
    migration.MADE = {vendor: [] for vendor in TRIGGERS}
TABLES = Path(OF_ALL) / "empty.sqlite3"
MIGRATING_S = 120.0
LONG_S = 60.0
FAILURES = (throttle.BY_ADDRESS, throttle.BY_PERSON, throttle.BY_PERSON_THERE, throttle.BY_KEYS)

# Nothing that is measured in seconds fails a test on a busy machine. Each run draws other examples.
hypothesis_settings.register_profile(
    "suite", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("suite")


@pytest.fixture(scope="session")
def _making_tables() -> Iterator[ExitStack]:
    """Let one process of a run make the tables; the next ones wait, and copy them."""
    with ExitStack() as held:
        deadline = time.monotonic() + MIGRATING_S
        held.enter_context(only_one(TABLES.with_suffix(".lock"), until=deadline))
        yield held


@pytest.fixture(scope="session")
def django_db_modify_db_settings(_making_tables: ExitStack) -> None:
    """Keep SQLite in a file, as in production: in memory, a reader makes a writer fail at once."""
    database = settings.DATABASES["default"]
    path = Path(FOLDER) / "test.sqlite3"
    database["TEST"]["NAME"] = str(path)
    if TABLES.exists() and database["ENGINE"] == "django.db.backends.sqlite3":
        shutil.copy(TABLES, path)
        database["TEST"]["MIGRATE"] = False


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Take the file as it is; it goes with its folder."""
    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, _making_tables: ExitStack
) -> Iterator[Path]:
    """A file with the tables and nothing in them, for tests whose processes need their own."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for statement in (*AUDIT[1].UNDONE[connection.vendor], *AUDIT[0].UNDONE[connection.vendor]):
            cursor.execute(statement)  # where the tables are copies of what was migrated elsewhere
        if connection.vendor == "sqlite" and not TABLES.exists():
            if not connection.introspection.table_names(cursor):
                # Nobody among the tests at hand asks for a database by its mark: there is none yet.
                call_command("migrate", verbosity=0, skip_checks=True)
            whole = TABLES.with_suffix(".new")
            cursor.execute("VACUUM INTO %s", [str(whole)])
            whole.rename(TABLES)
        _keep_what_a_flush_renews()
    _making_tables.close()
    yield TABLES
    connection.close()


def _keep_what_a_flush_renews() -> None:
    """Content types and permissions, which never change: working them out anew takes 40 ms."""
    rows: list[list[Any]] = [list(ContentType.objects.all()), list(Permission.objects.all())]
    with transaction.atomic():
        ContentType.objects.all().delete()
        kept = Inserts(rows)
        transaction.set_rollback(True)

    def renew(sender: AppConfig, **told: Any) -> None:
        if "plan" in told:  # of a migration
            create_permissions(**told)
            create_contenttypes(**told)
        elif sender.label == "auth" and connection.vendor == "sqlite":
            kept()  # the tests' PostgreSQL leaves them where they are

    assert post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    assert post_migrate.disconnect(create_contenttypes)
    post_migrate.connect(renew, weak=False)


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> None:
    """The one of production takes a quarter of a second of work, on purpose, for each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session", autouse=True)
def _what_a_test_says_once_stays() -> None:
    """A process says it again and again: a stall of the machine would make it dead in a test."""
    directory.RECORD_TTL_S = workers.WORKER_TTL_S = views.VIEW_TTL_S = LONG_S


@pytest.fixture(scope="session", autouse=True)
def _console_is_loaded() -> None:
    """As where it is served: some tests ask for its pages without a URL."""
    admin.autodiscover()


@pytest.fixture(autouse=True)
def _nobody_has_guessed() -> None:
    for counted in (*FAILURES, throttle.SIGNED_IN, throttle.WORKED):
        counted.clear()


@pytest.fixture(scope="session")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the documentation's site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    build = ["-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        [sys.executable, *build],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout + built.stderr) == (0, "")
    return folder
