"""Folders as zips: the same bytes for the same files, written piece by piece."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path

# The earliest that a zip can say: the time of packing would change the digest.
EPOCH = (1980, 1, 1, 0, 0, 0)
LEFT_OUT = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache")
PIECE_BYTES = 1 << 20
# A file whose first piece gets no smaller than this share is stored: weights (0.93 as float32) take
# twenty times as long to compress.
WORTH_COMPRESSING = 0.9


def zipped(folder: Path, *, to: Path) -> Path:
    """Pack a folder's files, without its own name in front."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if not set(name.parts) & set(LEFT_OUT) and path.is_file():
                _add(packed, path, name=str(name))
    return to


def _add(packed: zipfile.ZipFile, file: Path, *, name: str) -> None:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.external_attr = 0o644 << 16
    with file.open("rb") as source:
        piece = source.read(PIECE_BYTES)
        if len(zlib.compress(piece, 1)) < WORTH_COMPRESSING * len(piece):
            entry.compress_type = zipfile.ZIP_DEFLATED
        source.seek(0)
        with packed.open(entry, "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, PIECE_BYTES)
