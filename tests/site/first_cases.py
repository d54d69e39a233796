"""Of some tests only the first case is run (loaded with `-p`)."""

from __future__ import annotations

import pytest

# Their cases are ways to say something wrong, which is refused before the database is asked.
FIRST_CASES = (
    "tests/registry/api/test_api_applications.py::test_a_wrong_field_is_refused_and_nothing_is_kept",
    "tests/registry/api/test_api_applications.py::test_a_wrong_objective_is_refused",
    "tests/registry/api/test_api_applications.py::test_a_wrong_page_is_refused",
    "tests/registry/api/test_api_applications.py::test_what_clients_rely_on_cannot_change",
    "tests/registry/api/test_api_configuration.py::test_a_wrong_cache_or_priority_is_refused",
    "tests/registry/api/test_api_configuration.py::test_a_wrong_value_is_refused_at_its_field",
    "tests/registry/api/test_api_configuration.py::test_a_wrong_value_of_an_upload_is_refused",
    "tests/registry/api/test_api_models.py::test_a_wrong_model_is_refused",
    "tests/registry/api/test_api_models.py::test_a_wrong_number_of_replicas_is_refused",
    "tests/registry/api/test_api_models.py::test_a_wrong_upload_is_refused_and_nothing_is_kept",
    "tests/registry/api/test_api_models.py::test_an_example_that_is_no_input_is_refused_at_the_upload",
    "tests/registry/test_commands.py::test_every_command_explains_itself",
    "tests/registry/services/test_configuration.py::"
    "test_a_wrong_value_is_refused_by_name_and_nothing_is_changed",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: set[str] = set()
    kept = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        if test not in seen or test not in FIRST_CASES:
            kept.append(item)
        seen.add(test)
    items[:] = kept
