"""The content-addressed artifact store: each file lies once under its sha256."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from registry.errors import BadRequest, BodyTooLarge, NotFound

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

    def add(self, source: BinaryIO) -> tuple[str, int]:
        """Store everything that `source` yields; returns its sha256 and its size in bytes.

        The file appears under its name only when it is complete and on disk.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        digest = hashlib.sha256()
        size = 0
        with tempfile.NamedTemporaryFile(dir=self.root, prefix=".incoming-", delete=False) as file:
            incoming = Path(file.name)
            try:
                while chunk := source.read(CHUNK_BYTES):
                    size += len(chunk)
                    if size > self.max_bytes:
                        raise BodyTooLarge(
                            f"Expected an artifact of at most {self.max_bytes} bytes.",
                            limit=self.max_bytes,
                        )
                    digest.update(chunk)
                    file.write(chunk)
                if size == 0:
                    raise BadRequest("Expected an artifact, got an empty file.")
                file.flush()
                os.fsync(file.fileno())
                self._settle(incoming, digest.hexdigest())
            finally:
                incoming.unlink(missing_ok=True)
        return digest.hexdigest(), size

    def remove(self, digest: str) -> None:
        (self.root / digest[:2] / digest).unlink(missing_ok=True)

    def _settle(self, incoming: Path, digest: str) -> None:
        target = self.root / digest[:2] / digest
        target.parent.mkdir(exist_ok=True, mode=0o700)
        incoming.chmod(0o400)
        incoming.replace(target)
