"""Leaves to `make test-frameworks` the tests that are marked as `long` (loaded with `-p`).

They are what takes real frameworks and environments, and the rest of tables that the other tests
have the beginning of.
"""

from __future__ import annotations

import pytest

OPTION = "--long"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="run the tests marked as long alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = is_long_run(config)
    others = [item for item in items if (item.get_closest_marker("long") is not None) != wanted]
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [item for item in items if item not in left_out]


def is_long_run(config: pytest.Config) -> bool:
    """Whether the long tests are run, and not the others."""
    return bool(config.getoption(OPTION))
