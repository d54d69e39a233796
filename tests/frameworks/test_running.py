"""Tests that run in another environment are bounded, and tell what they said until then."""

from __future__ import annotations

import sys

from tests.frameworks.running import run


def test_tests_that_take_too_long_are_ended_and_told_with_what_they_said() -> None:
    # What it starts would keep a pipe open.
    code = "import subprocess; print('so far', flush=True); subprocess.run(['sleep', '600'])"
    tested = run([sys.executable, "-c", code], more={}, within_s=6.0)
    assert not tested.passed
    assert "so far" in tested.output
    assert "weren't done within 6 s" in tested.output
