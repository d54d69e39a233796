"""The runtimes of frameworks that our own environment hasn't, each in one of its own."""

from __future__ import annotations

import pytest

from tests.frameworks.environments import too_large
from tests.frameworks.running import LIGHTER, run_tests


@pytest.mark.timeout(1800)  # the first time it is built, and its wheels may have to be fetched
@pytest.mark.parametrize("name", LIGHTER)
def test_its_tests_pass(name: str) -> None:
    if reason := too_large(name):
        pytest.skip(reason)
    tested = run_tests(name)
    assert tested.passed, tested.output
