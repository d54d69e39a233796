"""The copies that a host keeps of artifacts stored elsewhere: a folder of bounded size.

A user of a copy holds a shared lock on its file, and a fetch an exclusive one on the part that it
writes. The kernel releases them with the process; files that nobody has locked may be removed.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from core.errors import InsufficientStorage
from core.file_lock import is_at, try_lock
from registry.artifacts.disk_space import free_bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The copies in one folder, of `max_bytes` at most; `reserve` bytes stay free on the disk."""

    folder: Path
    max_bytes: int
    reserve: int = 0

    @classmethod
    def default(cls) -> Copies:
        return cls(
            folder=settings.CLIPPER_ARTIFACT_COPIES,
            max_bytes=settings.CLIPPER_ARTIFACT_COPIES_BYTES,
            reserve=settings.CLIPPER_MIN_FREE_BYTES,
        )

    def path_of(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    def part_of(self, digest: str) -> Path:
        """Return the path of what has arrived so far of a copy."""
        return self.folder / digest[:2] / f"{digest}.part"

    @contextmanager
    def held(self, digest: str) -> Iterator[Path | None]:
        """Yield the copy, which stays as long as the block lasts; None if there is none."""
        path = self.path_of(digest)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            # It may be removed until it is locked.
            is_there = try_lock(file.fileno(), fcntl.LOCK_SH) and is_at(path, file.fileno())
            if is_there:
                os.utime(path)
            yield path if is_there else None

    @contextmanager
    def locked_part(self, digest: str) -> Iterator[int | None]:
        """Yield the descriptor of a copy's part for appending; None while another fetch has it."""
        path = self.part_of(digest)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            is_own = try_lock(part, fcntl.LOCK_EX) and is_at(path, part)
            yield part if is_own else None
        finally:
            os.close(part)

    def complete(self, digest: str) -> None:
        """Give a part that was verified the name of its copy."""
        part = self.part_of(digest)
        part.chmod(0o400)
        part.replace(self.path_of(digest))

    def make_room(self, size: int) -> None:
        """Remove unused files, oldest first, until `size` bytes fit. Raises InsufficientStorage."""
        if size > self.max_bytes:
            raise InsufficientStorage(
                f"This host keeps {_mb(self.max_bytes)} MB of artifacts at most "
                f"(CLIPPER_ARTIFACT_COPIES_BYTES), and this one has {_mb(size)} MB.",
                limit=self.max_bytes,
            )
        files = {path: path.stat() for path in self.folder.glob("??/*")}
        used = sum(found.st_size for found in files.values())
        for path in sorted(files, key=lambda path: files[path].st_mtime):
            if self._fits(size, used=used):
                return
            if _remove_unused(path):
                used -= files[path].st_size
        if not self._fits(size, used=used):
            free = max(0, free_bytes(self.folder) - self.reserve)
            raise InsufficientStorage(
                f"No room for {_mb(size)} MB: replicas of this host use {_mb(used)} of the "
                f"{_mb(self.max_bytes)} MB that it keeps of artifacts "
                f"(CLIPPER_ARTIFACT_COPIES_BYTES), and its disk has {_mb(free)} MB left for them.",
                free=free,
            )

    def _fits(self, size: int, *, used: int) -> bool:
        free = free_bytes(self.folder) - self.reserve
        return used + size <= self.max_bytes and size <= free


def _remove_unused(path: Path) -> bool:
    """Remove a file that nobody has locked; return whether it is gone."""
    try:
        with path.open("rb") as file:
            if not try_lock(file.fileno(), fcntl.LOCK_EX):
                return False
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    logger.info("evicted file=%s", path.name)
    return True


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
