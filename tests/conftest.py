"""What all tests share."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from registry import throttle
from tests.environment import FOLDER

AUDIT: Any = importlib.import_module("registry.migrations.0007_audit_revisions_and_history")
# Tests empty the tables between them, so they go without; `test_append_only` has them installed.
TRIGGERS: dict[str, list[str]] = AUDIT.MADE
AUDIT.MADE = {vendor: [] for vendor in TRIGGERS}
FAILURES = (throttle.BY_ADDRESS, throttle.BY_PERSON, throttle.BY_PERSON_THERE, throttle.BY_KEYS)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite in a file, as in production: in memory, a reader makes a writer fail at once."""
    settings.DATABASES["default"]["TEST"]["NAME"] = str(Path(FOLDER) / "test.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> None:
    """The one of production takes a quarter of a second of work, on purpose, for each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _nobody_has_guessed() -> None:
    for counted in (*FAILURES, throttle.SIGNED_IN, throttle.WORKED):
        counted.clear()
