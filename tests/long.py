"""Leaves to `make test-frameworks` the tests that are marked as `long` (loaded with `-p`).

They are what takes real frameworks and environments, and the rest of tables that the other tests
have the beginning of.
"""

from collections.abc import Iterable
from typing import Any

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


def beginning_of(table: Iterable[Any], *, rows: int) -> list[Any]:
    """The rows of a table as parameters, with all but the first few of them marked as long."""
    table = list(table)
    return [
        *table[:rows],
        *(pytest.param(row, marks=pytest.mark.long) for row in table[rows:]),
    ]


def is_long_run(config: pytest.Config) -> bool:
    """Return if the long tests are run, and not the others."""
    return bool(config.getoption(OPTION))
