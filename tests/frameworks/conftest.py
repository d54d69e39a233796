"""Leaves to their own runs what isn't for the Python at hand (`tests.frameworks.running`)."""

import os
from pathlib import Path

import pytest

from tests.frameworks.environments import is_one
from tests.frameworks.running import DEPLOYED

collect_ignore_glob = [] if is_one() else ["test_*_runtime.py"]
if DEPLOYED not in os.environ:
    collect_ignore_glob.append("test_deployed.py")


@pytest.fixture
def artifact_file(tmp_path: Path) -> Path:
    return tmp_path / "artifact"
