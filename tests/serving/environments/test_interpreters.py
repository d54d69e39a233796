"""The Pythons of a host are found, also where one of them answers nobody."""

import os
from pathlib import Path

import pytest

from serving.cluster.parent import process_lives
from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments import interpreters
from tests.serving.cluster.wait_until import wait_for


def test_one_that_never_answers_fails_the_build_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "python3.12"
    asked = tmp_path / "asked"
    silent.write_text(f"#!/bin/sh\necho $$ >>{asked}\nexec sleep 300\n")
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(interpreters, "LOOK_WITHIN_S", 5.0)
    with pytest.raises(EnvironmentFailed, match="uv can't tell which Pythons there are"):
        interpreters.find("3.12.99")
    pids = [int(pid) for pid in asked.read_text().split()]
    assert pids
    wait_for(lambda: not any(map(process_lives, pids)), within_s=20, what="its end")
