"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from tests.environment import FOLDER


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite in a file, as in production: in memory, a reader makes a writer fail at once."""
    settings.DATABASES["default"]["TEST"]["NAME"] = str(Path(FOLDER) / "test.sqlite3")
