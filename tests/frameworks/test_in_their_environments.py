"""The runtimes of frameworks that our own environment hasn't, each in one of its own."""

from __future__ import annotations

import sys

import pytest

from tests.frameworks.environments import too_large
from tests.frameworks.running import LIGHTER, run, run_tests


@pytest.mark.timeout(1800)  # the first time it is built, and its wheels may have to be fetched
@pytest.mark.parametrize("name", LIGHTER)
def test_its_tests_pass(name: str) -> None:
    if reason := too_large(name):
        pytest.skip(reason)
    tested = run_tests(name)
    assert tested.passed, tested.output


def test_tests_that_take_too_long_are_ended_and_told_with_what_they_said() -> None:
    # What it starts would keep a pipe open.
    code = "import subprocess; print('so far', flush=True); subprocess.run(['sleep', '600'])"
    tested = run([sys.executable, "-c", code], more={}, within_s=3.0)
    assert not tested.passed
    assert "so far" in tested.output
    assert "weren't done within 3 s" in tested.output
