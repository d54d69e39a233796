"""Folders become the same zip for the same files, and a large one says how far it is."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from clipper_client.packing import SHOWN, zipped

LARGE = 48 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "left.pyc").write_bytes(b"out")
    (folder / "predictor.py").write_text("x = 1\n" * 1000)
    (folder / "empty").touch()
    (folder / "weights.bin").write_bytes(os.urandom(LARGE))
    return folder


def test_what_does_not_compress_is_stored_and_all_of_it_comes_out(
    folder: Path, tmp_path: Path
) -> None:
    first, second = (zipped(folder, to=tmp_path / name) for name in ("1.zip", "2.zip"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as packed:
        kinds = {entry.filename: entry.compress_type for entry in packed.infolist()}
        assert all(packed.read(name) == (folder / name).read_bytes() for name in kinds)
    assert kinds == {
        "empty": zipfile.ZIP_STORED,
        "predictor.py": zipfile.ZIP_DEFLATED,
        "weights.bin": zipfile.ZIP_STORED,
    }


@pytest.mark.parametrize(("shown", "large"), [(True, True), (True, False), (False, True)])
def test_a_large_folder_shows_how_far_it_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shown: bool, large: bool
) -> None:
    if not large:
        (folder / "weights.bin").unlink()
    token = SHOWN.set(shown)
    zipped(folder, to=tmp_path / "1.zip")
    SHOWN.reset(token)
    said = capsys.readouterr().err
    assert ("100% of" in said) is (shown and large)
    assert ("bytes of model packed" in said) is (shown and large)
