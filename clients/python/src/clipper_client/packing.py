"""Folders as zips: the same bytes for the same files, written piece by piece."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from clipper_client.progress import Bar

# The earliest that a zip can say: the time of packing would change the digest.
EPOCH = (1980, 1, 1, 0, 0, 0)
LEFT_OUT = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache")
PIECE_BYTES = 1 << 20
# A file whose first piece gets no smaller than this share is stored: weights (0.93 as float32) take
# twenty times as long to compress.
WORTH_COMPRESSING = 0.9
# Less is packed in a second.
SHOWN_FROM_BYTES = 32 << 20
# Shows progress as `progress.wanted` takes it. Set by `deploy` around frameworks.
SHOWN: ContextVar[bool | None] = ContextVar("SHOWN", default=None)


def zipped(folder: Path, *, to: Path) -> Path:
    """Pack a folder's files, without its own name in front."""
    files = sorted(_files(folder))
    total = sum(file.stat().st_size for file in files)
    shown = SHOWN.get() if total >= SHOWN_FROM_BYTES else False
    bar = Bar(f"bytes of {folder.name} packed", total=total, shown=shown)
    done = 0
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for file in files:
            for size in _add(packed, file, name=str(file.relative_to(folder))):
                done += size
                bar.show(done)
    bar.close()
    return to


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if not set(path.relative_to(folder).parts) & set(LEFT_OUT) and path.is_file():
            yield path


def _add(packed: zipfile.ZipFile, file: Path, *, name: str) -> Iterator[int]:
    """Yield the size of each piece once it is packed."""
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.external_attr = 0o644 << 16
    with file.open("rb") as source:
        piece = source.read(PIECE_BYTES)
        if len(zlib.compress(piece, 1)) < WORTH_COMPRESSING * len(piece):
            entry.compress_type = zipfile.ZIP_DEFLATED
        with packed.open(entry, "w", force_zip64=True) as target:
            while piece:
                target.write(piece)
                yield len(piece)
                piece = source.read(PIECE_BYTES)
