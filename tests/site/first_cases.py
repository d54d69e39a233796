"""Of each test of some files only the first case is run (loaded with `-p`)."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Their cases are ways to say something wrong, which is refused before the database is asked.
FIRST_CASES = (
    "tests/registry/test_api_applications.py",
    "tests/registry/test_api_configuration.py",
    "tests/registry/test_api_keys.py",
    "tests/registry/test_api_models.py",
    "tests/registry/test_api_releases.py",
    "tests/registry/test_commands.py",
    "tests/registry/test_configuration.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: set[tuple[Path, str]] = set()
    kept = []
    for item in items:
        test = (item.path, getattr(item, "originalname", item.name))
        if test not in seen or str(item.path.relative_to(ROOT)) not in FIRST_CASES:
            kept.append(item)
        seen.add(test)
    items[:] = kept
