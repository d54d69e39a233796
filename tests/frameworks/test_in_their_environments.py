"""The runtimes of frameworks that our own environment hasn't, each in one of its own."""

from __future__ import annotations

import pytest

from tests.frameworks.environments import run_tests, too_large


@pytest.mark.timeout(1800)  # the first time it is built, and its wheels may have to be fetched
@pytest.mark.parametrize("name", ["mlflow", "torch"])
def test_its_tests_pass(name: str) -> None:
    if reason := too_large(name):
        pytest.skip(reason)
    result = run_tests(name)
    assert result.returncode == 0, result.stdout
