"""Where artifacts are kept: Django's storage `artifacts`, and what Clipper asks of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage, storages

ALIAS = "artifacts"


class LocalArtifacts(FileSystemStorage):
    """Files in CLIPPER_ARTIFACTS, or in the folder of its option `location`.

    It is one of this host, or one that several hosts have mounted.
    """

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
    """The one of the settings. Raises ImproperlyConfigured where it can't be had."""
    return storages[ALIAS]


def folder_of(storage: Storage) -> Path | None:
    """The folder on this host where it keeps its files; None where it keeps them elsewhere."""
    return Path(storage.location) if isinstance(storage, FileSystemStorage) else None
