"""Folders of unpacked models: those of a killed process go when the next one unpacks."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from serving.container.adapters.archive import new_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_process_may_have_several_which_only_it_can_read() -> None:
    first, second = new_folder(), new_folder()

    assert first != second
    assert first.is_dir()
    assert second.stat().st_mode & 0o777 == 0o700


def test_that_of_a_process_that_has_ended_goes(temporary: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=30)
    left = temporary / f"clipper-model-{ended.pid}-abc"
    left.mkdir()
    (left / "weights").write_text("1")

    new_folder()

    assert not left.exists()


@pytest.mark.parametrize("name", ["clipper-model-abc", "clipper-model-{pid}-abc", "other"])
def test_all_others_stay(temporary: Path, name: str) -> None:
    other = temporary / name.format(pid=os.getpid())
    other.mkdir()

    new_folder()

    assert other.is_dir()
