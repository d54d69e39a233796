"""Artifacts that arrive in pieces; `ArtifactStore.clear_remnants` removes abandoned ones."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.core.files.uploadedfile import UploadedFile

from core.errors import BadRequest, BodyTooLarge, Conflict, Saturated, TooManyRequests
from core.file_lock import LockTimeout, is_at, only_one, try_lock
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.disk_space import full_disk_is_507, need_room
from registry.artifacts.incoming import PREFIX, IncomingArtifact

# So many at once, begun and not yet a version: of all, and of one key or person.
MOST_PARTS = 32
MOST_OF_ONE = 8
BEGINNING = ".beginning.lock"
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadParts:
    """Files named by digest, total size and sender, so that a wrong total disturbs nobody."""

    folder: Path
    max_bytes: int

    @classmethod
    def default(cls) -> UploadParts:
        store = ArtifactStore.default()
        return cls(folder=store.spool, max_bytes=store.max_bytes)

    def received(self, digest: str, *, total: int | None = None) -> int:
        """Return how many bytes of it are here, the fewest of all totals without `total`."""
        found = []
        for part in self._parts(digest):
            with suppress(FileNotFoundError):  # it has just become a version
                if total in (None, _total_of(part)):
                    found.append(part.stat().st_size)
        return min(found, default=0)

    def append(self, digest: str, *, offset: int, total: int, piece: bytes, sender: str) -> int:
        """Add what follows `offset`; return how much is here. Raises Conflict for another one."""
        if total > self.max_bytes:
            raise BodyTooLarge(
                f"Expected an artifact of at most {self.max_bytes} bytes.", limit=self.max_bytes
            )
        if not 0 < len(piece) <= total - offset:
            raise BadRequest(f"Expected bytes within {total}, got {len(piece)} from {offset} on.")
        need_room(total - offset)
        path = self._path(digest, total=total) or self._begun(digest, total=total, sender=sender)
        with self._alone(path) as file:
            here = os.fstat(file.fileno()).st_size
            if here != offset:
                raise Conflict(
                    f"Expected the bytes from {here} on, got those from {offset} on.", received=here
                )
            with full_disk_is_507():
                # A disk that gets full takes a part of it.
                return offset + file.write(piece)

    def whole(self, digest: str) -> IncomingArtifact:
        """Return what is here as an artifact. Raises BadRequest if it isn't whole or sound."""
        # It comes out of a form: what is no digest would be a pattern for the names of others.
        if not DIGEST.fullmatch(digest):
            raise _wrong(f"64 hexadecimal digits, got {digest!r}")
        wrong = _wrong(f"an artifact that was sent before, got {digest}: there is none")
        for part in list(self._parts(digest)):
            try:
                return self._whole(part, digest=digest)
            except FileNotFoundError:  # it has become a version meanwhile
                continue
            except BadRequest as error:
                wrong = error
        raise wrong

    def _whole(self, part: Path, *, digest: str) -> IncomingArtifact:
        here, total = part.stat().st_size, _total_of(part)
        if here < total:
            raise _wrong(f"all of an artifact, got {here} of its {total} bytes so far")
        incoming = ResumedArtifact(part, limit=self.max_bytes)
        if incoming.digest != digest:
            part.unlink(missing_ok=True)
            incoming.close()
            raise _wrong(f"an artifact with the digest {digest}, got one with {incoming.digest}")
        return incoming

    def _path(self, digest: str, *, total: int) -> Path | None:
        return next((part for part in self._parts(digest) if _total_of(part) == total), None)

    def _parts(self, digest: str) -> Iterator[Path]:
        yield from self.folder.glob(f"{PREFIX}{digest}.*")

    def _begun(self, digest: str, *, total: int, sender: str) -> Path:
        """Return an empty file, the same for all who begin at once."""
        ArtifactStore.default().clear_remnants()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = hashlib.sha256(sender.encode()).hexdigest()[:16]
        try:
            with only_one(self.folder / BEGINNING, until=time.monotonic() + 5.0):
                if (path := self._path(digest, total=total)) is None:
                    self._check_number(mark)
                    path = self.folder / f"{PREFIX}{digest}.{total}.{mark}"
                    with full_disk_is_507():
                        path.touch(mode=0o600)
                return path
        except LockTimeout as error:
            raise Saturated(
                "Many begin to send an artifact at this moment; try again.", retry_after_s=1.0
            ) from error

    def _check_number(self, mark: str) -> None:
        begun = list(self._parts("?" * 64))
        if sum(1 for part in begun if part.name.endswith(f".{mark}")) >= MOST_OF_ONE:
            raise TooManyRequests(
                f"This key or account has begun {MOST_OF_ONE} artifacts that aren't versions yet, "
                "the most that one may. Finish those; one that nothing is added to for an hour is "
                "forgotten.",
                retry_after_s=60.0,
            )
        if len(begun) >= MOST_PARTS:
            raise Saturated(
                f"{MOST_PARTS} artifacts have been begun and aren't versions yet; try again.",
                retry_after_s=60.0,
            )

    @contextmanager
    def _alone(self, path: Path) -> Iterator[IO[bytes]]:
        with full_disk_is_507():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _lock(descriptor)
            yield file


class ResumedArtifact(IncomingArtifact):
    """An artifact that came in pieces: it stays where it is unless it was settled."""

    def __init__(self, path: Path, *, limit: int) -> None:
        self.path = path
        self.fault = None
        self._limit = limit
        file = path.open("r+b", buffering=0)
        try:
            _lock(file.fileno())
            if not is_at(path, file.fileno()):  # whoever had the lock has taken it
                raise FileNotFoundError(path)
        except (Conflict, FileNotFoundError):
            file.close()
            raise
        self._sha256 = hashlib.sha256()
        while piece := file.read(1 << 20):
            self._sha256.update(piece)
        self.received = file.tell()
        self._discard = weakref.finalize(self, _close, file, path=path)
        UploadedFile.__init__(self, file=file, name="artifact", size=self.received)


def _close(file: IO[bytes], *, path: Path) -> None:
    file.close()


def _total_of(part: Path) -> int:
    return int(part.name.removeprefix(PREFIX).split(".")[1])


def _lock(descriptor: int) -> None:
    if not try_lock(descriptor, fcntl.LOCK_EX):
        raise Conflict("Somebody else is sending the same artifact at this moment.")


def _wrong(expected: str) -> BadRequest:
    return BadRequest(f"sha256: Expected {expected}.", fields=["sha256"])
