"""An arriving artifact, written and hashed in the store's own folder."""

import hashlib
import os
import tempfile
import weakref
from pathlib import Path
from typing import IO

from django.core.files.uploadedfile import UploadedFile

from core.errors import BodyTooLarge, ClipperError
from registry.artifacts.disk_space import full_disk_is_507, write_all

# It has no digest yet.
PREFIX = ".incoming-"


class IncomingArtifact(UploadedFile):  # type: ignore[type-arg]  # it takes none when it runs
    """A file without a name, gone when closed unless it was settled; `fault` ended its writing."""

    def __init__(self, *, folder: Path, max_bytes: int) -> None:
        with full_disk_is_507():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=PREFIX)
        self.path = Path(name)
        self.fault: ClipperError | None = None
        self.received = 0
        self._limit = max_bytes
        self._sha256 = hashlib.sha256()
        file: IO[bytes] = os.fdopen(descriptor, "w+b", buffering=0)
        self._discard = weakref.finalize(self, _discard, file, path=self.path)
        super().__init__(file=file, name="artifact", size=0)

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()

    def append(self, chunk: bytes) -> None:
        """Take what has arrived; after a fault nothing is kept."""
        if self.fault is not None:
            return
        try:
            if self.received + len(chunk) > self._limit:
                raise BodyTooLarge(
                    f"Expected an artifact of at most {self._limit} bytes.", limit=self._limit
                )
            write_all(self.fileno(), chunk)
        except ClipperError as error:
            self.fault = error
            os.truncate(self.path, 0)
            return
        self._sha256.update(chunk)
        self.received += len(chunk)
        self.size = self.received

    def sync(self) -> None:
        """Write all of it to the disk."""
        with full_disk_is_507():
            os.fsync(self.fileno())

    def settle(self, target: Path) -> None:
        """Give it its name, unless a whole file has it, which a model may be reading."""
        if target.exists() and target.stat().st_size == self.received:
            self.path.unlink(missing_ok=True)
            self.close()
            return
        with full_disk_is_507():
            os.fsync(self.fileno())
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o400)
            self.path.replace(target)
        self._discard.detach()
        super().close()

    def close(self) -> None:
        self._discard()
        super().close()


def _discard(file: IO[bytes], *, path: Path) -> None:
    file.close()
    path.unlink(missing_ok=True)
