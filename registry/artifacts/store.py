"""The content-addressed artifact store: each file lies once under its sha256."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from registry.artifacts.incoming import PREFIX, IncomingArtifact
from registry.errors import BadRequest, NotFound

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """Files under `root`, each at `<first two digits>/<sha256>`, read-only once stored."""

    root: Path
    max_bytes: int

    @classmethod
    def default(cls) -> ArtifactStore:
        return cls(root=settings.CLIPPER_ARTIFACTS, max_bytes=settings.CLIPPER_MAX_ARTIFACT_BYTES)

    def path_of(self, digest: str) -> Path:
        """Where the artifact lies. Raises NotFound where it doesn't."""
        path = self.root / digest[:2] / digest
        if not path.is_file():
            raise NotFound(f"The artifact {digest} is missing from {self.root}.")
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

    def settle(self, incoming: IncomingArtifact) -> None:
        """Give what was received, which is complete, its name in the store."""
        digest = incoming.digest
        incoming.settle(self.root / digest[:2] / digest)

    def incoming(self) -> IncomingArtifact:
        """Return an empty file for what arrives bit by bit."""
        return IncomingArtifact(folder=self.root, max_bytes=self.max_bytes)

    def clear_remnants(self, *, older_than_s: float) -> int:
        """Remove what uploads left that were killed, and return how many; others still arrive."""
        removed = 0
        for file in self.root.glob(f"{PREFIX}*"):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > older_than_s:
                    file.unlink()
                    removed += 1
        return removed

    def remove(self, digest: str) -> None:
        (self.root / digest[:2] / digest).unlink(missing_ok=True)


def _whole(incoming: IncomingArtifact) -> IncomingArtifact:
    if incoming.fault is not None:
        raise incoming.fault
    if incoming.received == 0:
        raise BadRequest("Expected an artifact, got an empty file.")
    incoming.sync()
    return incoming
