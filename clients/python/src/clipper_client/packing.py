"""Folders as zips: the same bytes for the same files, written piece by piece."""

from __future__ import annotations

import zipfile
from pathlib import Path

# The earliest that a zip can say: the time of packing would change the digest.
EPOCH = (1980, 1, 1, 0, 0, 0)
LEFT_OUT = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache")
PIECE_BYTES = 1 << 20


def zipped(folder: Path, *, to: Path) -> Path:
    """Pack a folder's files, without its own name in front."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for file in files:
            inside = file.relative_to(folder)
            if not set(inside.parts) & set(LEFT_OUT):
                _add(packed, file, name=str(inside))
    return to


def _add(packed: zipfile.ZipFile, file: Path, *, name: str) -> None:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with file.open("rb") as source, packed.open(entry, "w", force_zip64=True) as target:
        while piece := source.read(PIECE_BYTES):
            target.write(piece)
