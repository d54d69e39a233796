"""Artifacts that arrive in pieces, over links that break: what is there of one stays for a while.

What nobody adds to goes with the remnants of other uploads (`ArtifactStore.clear_remnants`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.core.files.uploadedfile import UploadedFile

from infrastructure.file_lock import try_lock
from registry.artifacts.incoming import PREFIX, IncomingArtifact
from registry.artifacts.room import full_disk_is_507, need_room
from registry.artifacts.store import ArtifactStore
from registry.errors import BadRequest, BodyTooLarge, Conflict, Saturated

# So many at once, begun and not yet a version.
MOST_PARTS = 32
RETRY_AFTER_S = 60.0
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadParts:
    """What web processes that share a folder have of artifacts, by the sha256 of the whole."""

    folder: Path
    max_bytes: int

    @classmethod
    def default(cls) -> UploadParts:
        store = ArtifactStore.default()
        return cls(folder=store.spool, max_bytes=store.max_bytes)

    def received(self, digest: str) -> int:
        """How many bytes of it are here, from the beginning on."""
        return sum(part.stat().st_size for part in self._parts(digest))

    def append(self, digest: str, *, offset: int, total: int, piece: bytes) -> int:
        """Add what follows `offset`, and return how much is here then.

        Raises Conflict, whose details say what is here, where that isn't `offset`; BodyTooLarge,
        InsufficientStorage, or Saturated where too many others have been begun.
        """
        if total > self.max_bytes:
            raise BodyTooLarge(
                f"Expected an artifact of at most {self.max_bytes} bytes.", limit=self.max_bytes
            )
        if not 0 < len(piece) <= total - offset:
            raise BadRequest(f"Expected bytes within {total}, got {len(piece)} from {offset} on.")
        path = self._path(digest, total=total)
        if not path.exists():
            ArtifactStore.default().clear_remnants()
            self._check_number()
        need_room(total - offset)
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
        """Return what is here as an artifact that came in.

        It stays here where nothing comes of it. Raises BadRequest where it isn't whole, or not what
        its name says; then it is removed.
        """
        # It comes out of a form: what is no digest would be a pattern for the names of others.
        if not DIGEST.fullmatch(digest):
            raise _wrong(f"64 hexadecimal digits, got {digest!r}")
        part = next(self._parts(digest), None)
        if part is None:
            raise _wrong(f"an artifact that was sent before, got {digest}: there is none")
        here, total = part.stat().st_size, int(part.name.rpartition(".")[2])
        if here < total:
            raise _wrong(f"all of an artifact, got {here} of its {total} bytes so far")
        incoming = ResumedArtifact(part, limit=self.max_bytes)
        if incoming.digest != digest:
            part.unlink(missing_ok=True)
            incoming.close()
            raise _wrong(f"an artifact with the digest {digest}, got one with {incoming.digest}")
        return incoming

    def _path(self, digest: str, *, total: int) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder / f"{PREFIX}{digest}.{total}"

    def _parts(self, digest: str) -> Iterator[Path]:
        yield from self.folder.glob(f"{PREFIX}{digest}.*")

    def _check_number(self) -> None:
        if sum(1 for _ in self._parts("?" * 64)) >= MOST_PARTS:
            raise Saturated(
                f"{MOST_PARTS} artifacts have been begun and aren't versions yet; try again.",
                retry_after_s=RETRY_AFTER_S,
            )

    @contextmanager
    def _alone(self, path: Path) -> Iterator[IO[bytes]]:
        with full_disk_is_507():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _lock(descriptor)
            yield file


class ResumedArtifact(IncomingArtifact):
    """One that came in pieces: it stays where it is when it is closed, unless it was settled."""

    def __init__(self, path: Path, *, limit: int) -> None:
        self.path = path
        self.fault = None
        self._limit = limit
        file = path.open("r+b", buffering=0)
        try:
            _lock(file.fileno())
        except Conflict:
            file.close()
            raise
        self._sha256 = hashlib.sha256()
        while chunk := file.read(1 << 20):
            self._sha256.update(chunk)
        self.received = file.tell()
        self._discard = weakref.finalize(self, _close, file, path=path)
        UploadedFile.__init__(self, file=file, name="artifact", size=self.received)


def _close(file: IO[bytes], *, path: Path) -> None:
    """Leave it where it is."""
    file.close()


def _lock(descriptor: int) -> None:
    if not try_lock(descriptor, fcntl.LOCK_EX):
        raise Conflict("Somebody else is sending the same artifact at this moment.")


def _wrong(expected: str) -> BadRequest:
    return BadRequest(f"sha256: Expected {expected}.", fields=["sha256"])
