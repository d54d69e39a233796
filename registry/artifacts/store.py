"""The content-addressed artifact store: each file lies once under its sha256."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage

from core.errors import BadRequest, ClipperError, NotFound, Unavailable
from registry.artifacts.backends import artifact_storage, folder_of
from registry.artifacts.copies import Copies
from registry.artifacts.incoming import PREFIX, IncomingArtifact

CHUNK_BYTES = 1 << 20
RETRY_AFTER_S = 5.0
# An upload that nothing was added to for so long has broken off.
REMNANT_S = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactStore:
    """Files of a storage, each named `<first two digits>/<sha256>`, read-only once stored.

    Uploads arrive in the folder `spool`: of a storage that is a folder of this host it is that one,
    so that nothing has to be copied. Of others, `copies` are what this host has of them.
    """

    storage: Storage
    spool: Path
    max_bytes: int
    copies: Copies

    @classmethod
    def default(cls) -> ArtifactStore:
        storage = artifact_storage()
        return cls(
            storage=storage,
            spool=folder_of(storage) or settings.CLIPPER_ARTIFACTS,
            max_bytes=settings.CLIPPER_MAX_ARTIFACT_BYTES,
            copies=Copies.default(),
        )

    @property
    def folder(self) -> Path | None:
        """Where its files are on this host; None where they are elsewhere."""
        return folder_of(self.storage)

    def file_of(self, digest: str) -> Path | None:
        """Where the artifact lies on this host, None where it doesn't."""
        folder = self.folder
        path = folder and folder / name_of(digest)
        return path if path and path.is_file() else None

    def path_of(self, digest: str) -> Path:
        """Where the artifact lies on this host. Raises NotFound where it doesn't."""
        path = self.file_of(digest)
        if path is None:
            raise NotFound(f"The artifact {digest} is missing from {self.folder or self.storage}.")
        return path

    @contextmanager
    def received(self, source: BinaryIO | IncomingArtifact) -> Iterator[IncomingArtifact]:
        """Yield all of `source` as a file that is on disk; `settle` gives it its name in the store.

        What isn't settled is gone afterwards. What was uploaded lies in the folder already and is
        yielded as it is. Raises BadRequest for an empty file.
        """
        if isinstance(source, IncomingArtifact):
            yield _whole(source)
            return
        incoming = self.incoming()
        try:
            while incoming.fault is None and (chunk := source.read(CHUNK_BYTES)):
                incoming.append(chunk)
            yield _whole(incoming)
        finally:
            incoming.close()

    def send(self, incoming: IncomingArtifact) -> None:
        """Have what was received where the store keeps it, in the time that a network takes, or
        compare it with what that has under its name.

        Apart from `settle`, as that is for a transaction, for whose end others wait.
        """
        if self.folder is not None:
            incoming.compare(self.folder / name_of(incoming.digest))
            return
        name = name_of(incoming.digest)
        with _storage_answers():
            if self._keeps(name, size=incoming.received):
                return
            with incoming.path.open("rb") as file:
                kept_as = self.storage.save(name, File(file, name=name))
            if kept_as != name:  # another upload of the same was quicker
                self.storage.delete(kept_as)

    def settle(self, incoming: IncomingArtifact) -> None:
        """Give what was received, which is complete, its name in the store.

        Raises Unavailable where it was sent and is gone again, with the last version that had it.
        """
        digest = incoming.digest
        if self.folder is not None:
            incoming.settle(self.folder / name_of(digest))
            return
        with _storage_answers():
            if not self._keeps(name_of(digest), size=incoming.received):
                raise Unavailable("These bytes were deleted meanwhile; send them again.")
        try:
            self.copies.adopt(incoming)
        except (ClipperError, OSError) as error:  # it is fetched when somebody wants it
            logger.warning("no copy kept artifact=%s: %s", digest, error)

    def _keeps(self, name: str, *, size: int) -> bool:
        return self.storage.exists(name) and self.storage.size(name) == size

    def incoming(self) -> IncomingArtifact:
        """Return an empty file for what arrives bit by bit."""
        return IncomingArtifact(folder=self.spool, max_bytes=self.max_bytes)

    def clear_remnants(self, *, older_than_s: float = REMNANT_S) -> int:
        """Remove what uploads left that were killed, and return how many; others still arrive."""
        removed = 0
        for file in self.spool.glob(f"{PREFIX}*"):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > older_than_s:
                    file.unlink()
                    removed += 1
        return removed

    def remove(self, digest: str) -> None:
        """Remove it, if it is there. Raises Unavailable where its storage doesn't answer."""
        with _storage_answers():
            self.storage.delete(name_of(digest))


def name_of(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


@contextmanager
def _storage_answers() -> Iterator[None]:
    """Turn what a storage raises into the error that says so; each has errors of its own."""
    try:
        yield
    except ClipperError:
        raise
    except Exception as error:
        raise Unavailable(
            f"The storage of artifacts doesn't answer: {type(error).__name__}: {error}",
            retry_after_s=RETRY_AFTER_S,
        ) from error


def _whole(incoming: IncomingArtifact) -> IncomingArtifact:
    if incoming.fault is not None:
        raise incoming.fault
    if incoming.received == 0:
        raise BadRequest("Expected an artifact, got an empty file.")
    incoming.sync()
    return incoming
