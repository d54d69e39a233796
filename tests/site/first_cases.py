"""Runs only the first case of each test of refusals (loaded with `-p`).

Its cases are wrong values, which are refused before the database is asked.
"""

import re

import pytest

REFUSALS = re.compile(r"::test_(a_wrong|an_example_that_is_no_input|what_clients|every_command)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: set[str] = set()
    kept = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        if test not in seen or not REFUSALS.search(test):
            kept.append(item)
        seen.add(test)
    items[:] = kept
