"""A file system of a few megabytes of its own, to be filled and emptied again."""

import contextlib
import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHUNK = b"\0" * (1 << 20)


@dataclass(frozen=True)
class SmallDisk:
    """A disk mounted at `path`; `fill` takes every byte that is left, `free` gives them back."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    @property
    def free_bytes(self) -> int:
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def fill(self) -> None:
        size = len(CHUNK)
        with self._ballast.open("ab", buffering=0) as file:
            while size:
                try:
                    file.write(CHUNK[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(*, megabytes: int, name: str = "disk") -> Iterator[SmallDisk]:
    """Mount one; skips the test, saying why, where this user may not."""
    with tempfile.TemporaryDirectory(prefix="clipper-", dir="/tmp") as folder:
        path = Path(folder) / name
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("a disk of its own can't be mounted: there is no mount here")
        if done.returncode != 0:
            pytest.skip(f"a disk of its own can't be mounted: {done.stderr.strip()}")
        try:
            yield SmallDisk(path)
        finally:
            # Whatever still has a file open there keeps it until it ends.
            subprocess.run(["umount", "--lazy", str(path)], check=True)
