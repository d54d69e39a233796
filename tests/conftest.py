"""What all tests share."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from django.conf import settings

from registry import throttle
from tests.environment import FOLDER

AUDIT = importlib.import_module("registry.migrations.0007_audit_revisions_and_history")
# Tests empty the tables between them, so they go without; `test_append_only` has them installed.
TRIGGERS: dict[str, list[str]] = AUDIT.MADE
AUDIT.MADE = {vendor: [] for vendor in TRIGGERS}
FAILURES = (throttle.BY_ADDRESS, throttle.BY_PERSON, throttle.BY_PERSON_THERE, throttle.BY_KEYS)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite in a file, as in production: in memory, a reader makes a writer fail at once."""
    settings.DATABASES["default"]["TEST"]["NAME"] = str(Path(FOLDER) / "test.sqlite3")


@pytest.fixture(autouse=True)
def _nobody_has_guessed() -> None:
    for counted in (*FAILURES, throttle.SIGNED_IN, throttle.WORKED):
        counted.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes, let one have a file's tests, and one those of the whole running stack."""
    for item in items:
        folder = item.path.parent
        group = folder if folder.name == "integration" else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
