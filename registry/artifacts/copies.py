"""What a host has of artifacts that are kept elsewhere: bounded, the least lately used goes first.

Each copy lies under its digest as in the store. Who uses one holds a shared lock on the file, which
the kernel takes back with the process: what isn't locked may go. What is still arriving is a part,
whose name says how large it is going to be, so that nobody else counts on that room.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from core.errors import FetchFailed, InsufficientStorage
from core.file_lock import LockTimeout, is_at, only_one, try_lock
from registry.artifacts.incoming import IncomingArtifact
from registry.artifacts.room import free_bytes

# Long beyond what evicting takes; an upload, whose transaction others wait for, waits for less.
ROOM_WITHIN_S, ADOPTED_WITHIN_S = 30.0, 1.0

logger = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"\.([0-9a-f]{64})\.(\d+)\.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFile:
    """A copy or a part: what it takes or will take, and when it was last of use."""

    path: Path
    size: int
    written: int
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The copies in one folder, of `max_bytes` at most; `reserve` bytes stay free on the disk."""

    folder: Path
    max_bytes: int
    reserve: int = 0
    room_within_s: float = ROOM_WITHIN_S

    @classmethod
    def default(cls) -> Copies:
        return cls(
            folder=settings.CLIPPER_ARTIFACT_COPIES,
            max_bytes=settings.CLIPPER_ARTIFACT_COPIES_BYTES,
            reserve=settings.CLIPPER_MIN_FREE_BYTES,
        )

    def path_of(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    def lock_of(self, digest: str) -> Path:
        """The lock of who fetches it."""
        return self._made(self.folder) / f".{digest}.lock"

    @property
    def used_bytes(self) -> int:
        return sum(kept.size for kept in self._kept())

    @contextmanager
    def held(self, digest: str) -> Iterator[Path | None]:
        """Yield the copy, which stays as long as the block lasts; None where there is none."""
        descriptor = self._hold(self.path_of(digest))
        try:
            yield None if descriptor is None else self.path_of(digest)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_sound(self, digest: str) -> bool:
        """Whether a copy is what its name says, by its bytes."""
        try:
            with self.path_of(digest).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
        except FileNotFoundError:
            return False  # another process has found out, and dropped it

    def drop(self, digest: str) -> None:
        self.path_of(digest).unlink(missing_ok=True)

    def part_of(self, digest: str) -> CopyFile | None:
        """What an interrupted fetch has left of it."""
        return next((kept for kept in self._parts() if kept.path.name[1:65] == digest), None)

    def begin_part(self, digest: str, *, size: int) -> Path:
        """Make an empty part, and room for all of it. Raises InsufficientStorage or FetchFailed."""
        part = self.folder / f".{digest}.{size}.part"
        with self._alone(within_s=self.room_within_s):
            self._make_room(size)
            part.write_bytes(b"")
            part.chmod(0o600)
        return part

    def complete(self, part: Path, *, digest: str) -> None:
        """Give a part that was verified the name of its copy."""
        part.chmod(0o400)
        part.replace(self._made(self.folder / digest[:2]) / digest)

    def adopt(self, incoming: IncomingArtifact) -> None:
        """Keep what was uploaded here. Raises what `begin_part` does."""
        with self._alone(within_s=min(ADOPTED_WITHIN_S, self.room_within_s)):
            self._make_room(incoming.received, written=incoming.received)
            incoming.settle(self._made(self.folder / incoming.digest[:2]) / incoming.digest)

    # --- room -------------------------------------------------------------------------------

    def _make_room(self, size: int, *, written: int = 0) -> None:
        """Remove what nobody uses, the least lately used first, until so much more fits.

        `written` of it take their room on the disk already.
        """
        if size > self.max_bytes:
            raise InsufficientStorage(
                f"This host keeps {_mb(self.max_bytes)} MB of artifacts at most "
                f"(CLIPPER_ARTIFACT_COPIES_BYTES), and this one has {_mb(size)} MB.",
                limit=self.max_bytes,
            )
        kept = sorted(self._kept(), key=lambda one: one.used_at)
        used = sum(one.size for one in kept)
        pending = sum(one.size - one.written for one in kept)
        while True:
            free = free_bytes(self.folder) - pending - self.reserve
            if used + size <= self.max_bytes and size - written <= free:
                return
            evicted = next((one for one in kept if _evict(one.path)), None)
            if evicted is None:
                raise self._no_room(size, used=used, free=free)
            logger.info("evicted file=%s bytes=%d", evicted.path.name, evicted.size)
            kept.remove(evicted)
            used -= evicted.size
            pending -= evicted.size - evicted.written

    def _no_room(self, size: int, *, used: int, free: int) -> InsufficientStorage:
        if used + size > self.max_bytes:
            why = (
                f"replicas of this host use {_mb(used)} of the {_mb(self.max_bytes)} MB "
                "that it keeps of artifacts (CLIPPER_ARTIFACT_COPIES_BYTES)"
            )
        else:
            why = f"its disk has {_mb(max(0, free))} MB left for artifacts"
        return InsufficientStorage(f"No room for {_mb(size)} MB: {why}.", free=max(0, free))

    def _kept(self) -> list[CopyFile]:
        return [*self._copies(), *self._parts()]

    def _copies(self) -> Iterator[CopyFile]:
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                if _DIGEST.fullmatch(path.name):
                    found = path.stat()
                    size = found.st_size
                    yield CopyFile(path=path, size=size, written=size, used_at=found.st_mtime)

    def _parts(self) -> Iterator[CopyFile]:
        for path in self.folder.glob(".*.part"):
            with suppress(FileNotFoundError):
                if named := _PART.fullmatch(path.name):
                    found = path.stat()
                    yield CopyFile(
                        path=path,
                        size=int(named[2]),
                        written=found.st_size,
                        used_at=found.st_mtime,
                    )

    def _hold(self, path: Path) -> int | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        # One who evicts it has it locked for a moment, and then it is gone.
        if try_lock(descriptor, fcntl.LOCK_SH) and is_at(path, descriptor):
            os.utime(path)
            return descriptor
        os.close(descriptor)
        return None

    @contextmanager
    def _alone(self, *, within_s: float) -> Iterator[None]:
        lock = self._made(self.folder) / ".lock"
        try:
            with only_one(lock, until=time.monotonic() + within_s):
                yield
        except LockTimeout:
            raise FetchFailed(
                f"Other processes of this host have made room among its artifacts for "
                f"{within_s:.0f} s, and are not done."
            ) from None

    def _made(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder


def _evict(path: Path) -> bool:
    """Remove a file that nobody has locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        if not try_lock(descriptor, fcntl.LOCK_EX):
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
