"""What all tests share."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django.plugin import DjangoDbBlocker

from registry import throttle
from tests.environment import FOLDER

ROOT = Path(__file__).resolve().parents[1]
AUDIT: Any = importlib.import_module("registry.migrations.0007_audit_revisions_and_history")
# Tests empty the tables between them, so they go without; `test_append_only` has them installed.
TRIGGERS: dict[str, list[str]] = AUDIT.MADE
AUDIT.MADE = {vendor: [] for vendor in TRIGGERS}
FAILURES = (throttle.BY_ADDRESS, throttle.BY_PERSON, throttle.BY_PERSON_THERE, throttle.BY_KEYS)

# Nothing that is measured in seconds fails a test on a busy machine. Each run draws other examples.
hypothesis_settings.register_profile(
    "suite", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("suite")


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite in a file, as in production: in memory, a reader makes a writer fail at once."""
    settings.DATABASES["default"]["TEST"]["NAME"] = str(Path(FOLDER) / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Path:
    """A file with the tables and nothing in them, for tests whose processes need their own."""
    empty = Path(FOLDER) / "empty.sqlite3"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for statement in AUDIT.UNDONE[connection.vendor]:
            cursor.execute(statement)  # where the tables are copies of what was migrated elsewhere
        if connection.vendor == "sqlite":
            if not connection.introspection.table_names(cursor):
                # Nobody among the tests at hand asks for a database by its mark: there is none yet.
                call_command("migrate", verbosity=0, skip_checks=True)
            cursor.execute("VACUUM INTO %s", [str(empty)])
    return empty


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> None:
    """The one of production takes a quarter of a second of work, on purpose, for each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


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
