"""Storage of artifacts: Django's storage `artifacts`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage, storages

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
