"""The content-addressed artifact store: each file lies once under its sha256."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from core.errors import BadRequest, ClipperError, NotFound, Unavailable
from registry.artifacts.incoming import PREFIX, IncomingArtifact

ALIAS = "artifacts"


class LocalArtifacts(FileSystemStorage):
    """Files in CLIPPER_ARTIFACTS or `location`, which several hosts may have mounted."""

    def __init__(self, location: str | None = None, **options: Any) -> None:
        super().__init__(location=location, **options)
        self._named = location

    @property
    def base_location(self) -> str:
        return str(self._named or settings.CLIPPER_ARTIFACTS)

    @property
    def location(self) -> str:
        return str(Path(self.base_location).absolute())


def artifact_storage() -> Storage:
    """Return the storage of the settings. Raises ImproperlyConfigured."""
    return storages[ALIAS]


def folder_of(storage: Storage) -> Path | None:
    """Return the storage's folder on this host, None if it has none."""
    return Path(storage.location) if isinstance(storage, FileSystemStorage) else None


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactStore:
    """Read-only files `<two digits>/<sha256>` of a storage; uploads arrive in `spool`."""

    storage: Storage
    spool: Path
    max_bytes: int

    @classmethod
    def default(cls) -> ArtifactStore:
        storage = artifact_storage()
        return cls(
            storage=storage,
            spool=folder_of(storage) or settings.CLIPPER_ARTIFACTS,
            max_bytes=settings.CLIPPER_MAX_ARTIFACT_BYTES,
        )

    @property
    def folder(self) -> Path | None:
        """Return the folder of its files on this host, None if they are elsewhere."""
        return folder_of(self.storage)

    def file_of(self, digest: str) -> Path | None:
        """Return the artifact's path on this host, None if it isn't here."""
        folder = self.folder
        path = folder and folder / name_of(digest)
        return path if path and path.is_file() else None

    def path_of(self, digest: str) -> Path:
        """Return the artifact's path on this host. Raises NotFound."""
        path = self.file_of(digest)
        if path is None:
            raise NotFound(f"The artifact {digest} is missing from {self.folder or self.storage}.")
        return path

    @contextmanager
    def received(self, source: BinaryIO | IncomingArtifact) -> Iterator[IncomingArtifact]:
        """Yield all of `source` as a file on disk, gone afterwards unless settled."""
        if isinstance(source, IncomingArtifact):
            yield _whole(source)
            return
        incoming = self.incoming()
        try:
            while incoming.fault is None and (chunk := source.read(1 << 20)):
                incoming.append(chunk)
            yield _whole(incoming)
        finally:
            incoming.close()

    def send(self, incoming: IncomingArtifact) -> None:
        """Send it to a storage elsewhere, before any transaction."""
        if self.folder is not None:
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
        """Give it its name in the store. Raises Unavailable if it was deleted since it was sent."""
        digest = incoming.digest
        if self.folder is not None:
            incoming.settle(self.folder / name_of(digest))
            return
        with _storage_answers():
            if not self._keeps(name_of(digest), size=incoming.received):
                raise Unavailable("These bytes were deleted meanwhile; send them again.")
        incoming.path.unlink(missing_ok=True)

    def put(self, content: bytes) -> None:
        """Keep a small file at once. Raises Unavailable, InsufficientStorage."""
        with self.received(BytesIO(content)) as incoming:
            self.send(incoming)
            self.settle(incoming)

    def _keeps(self, name: str, *, size: int) -> bool:
        return self.storage.exists(name) and self.storage.size(name) == size

    def incoming(self) -> IncomingArtifact:
        return IncomingArtifact(folder=self.spool, max_bytes=self.max_bytes)

    def clear_remnants(self) -> int:
        """Remove uploads that nothing was added to for an hour, and return how many."""
        removed = 0
        for file in self.spool.glob(f"{PREFIX}*"):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > 3600.0:
                    file.unlink()
                    removed += 1
        return removed

    def remove(self, digest: str) -> None:
        """Remove it, if it is there. Raises Unavailable."""
        with _storage_answers():
            self.storage.delete(name_of(digest))


def name_of(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


@contextmanager
def _storage_answers() -> Iterator[None]:
    """Turn a storage's own errors into Unavailable."""
    try:
        yield
    except ClipperError:
        raise
    except Exception as error:
        raise Unavailable(
            f"The storage of artifacts doesn't answer: {type(error).__name__}: {error}",
            retry_after_s=5.0,
        ) from error


def _whole(incoming: IncomingArtifact) -> IncomingArtifact:
    if incoming.fault is not None:
        raise incoming.fault
    if incoming.received == 0:
        raise BadRequest("Expected an artifact, got an empty file.")
    incoming.sync()
    return incoming
