"""Folders become the same zip for the same files."""

import os
import zipfile
from pathlib import Path

import pytest

from clipper_client.packaging.sources import zipped

LARGE = 4 << 20


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
