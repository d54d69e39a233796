"""What is written past the kernel's cache is what was given, whatever its size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.artifacts.direct import BLOCK_BYTES, DirectFile

BEFORE = b"abc"


def written(path: Path, *pieces: bytes) -> bytes:
    """Write them behind what is there, and read it by the same descriptor as whoever stores it."""
    with path.open("a+b", buffering=0) as file:
        direct = DirectFile(file)
        for piece in pieces:
            direct.write(piece)
        direct.finish()
        file.seek(0)
        return file.read()


@pytest.mark.parametrize(
    "sizes",
    [(), (1,), (BLOCK_BYTES,), (BLOCK_BYTES - 1, 2), (3 * BLOCK_BYTES + 5,), (70_001,) * 40],
)
def test_it_holds_what_was_given(sizes: tuple[int, ...], tmp_path: Path) -> None:
    pieces = [os.urandom(size) for size in sizes]
    assert written(tmp_path / "file", *pieces) == b"".join(pieces)


def test_where_blocks_do_not_fit_it_is_written_as_usual(tmp_path: Path) -> None:
    """A disk takes whole sectors of its own; these begin within one."""
    path = tmp_path / "file"
    path.write_bytes(BEFORE)
    pieces = [os.urandom(BLOCK_BYTES + 7), os.urandom(BLOCK_BYTES)]
    assert written(path, *pieces) == BEFORE + b"".join(pieces)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("rb", buffering=0) as file:
        direct = DirectFile(file)
        with pytest.raises(OSError, match="Bad file descriptor"):
            direct.write(bytes(BLOCK_BYTES))


def test_nothing_goes_to_a_file_that_has_the_descriptor_of_one_that_was_closed(
    tmp_path: Path,
) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        direct, descriptor = DirectFile(file), file.fileno()
        direct.write(b"some")
    with (tmp_path / "other").open("wb", buffering=0) as other:
        assert other.fileno() == descriptor
        with pytest.raises(ValueError, match="closed file"):
            direct.write(bytes(BLOCK_BYTES))
    assert (tmp_path / "other").read_bytes() == b""
