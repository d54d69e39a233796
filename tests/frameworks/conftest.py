"""Leaves the tests of frameworks to their environments, which `environments` runs them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frameworks.environments import is_one

collect_ignore_glob = [] if is_one() else ["test_*_runtime.py"]


@pytest.fixture
def artifact_file(tmp_path: Path) -> Path:
    return tmp_path / "artifact"
