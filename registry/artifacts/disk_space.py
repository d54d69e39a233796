"""Free space on the disk that artifacts share with the database, Redis and the logs."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from core.errors import InsufficientStorage

FULL = (errno.ENOSPC, errno.EDQUOT)


def need_room(size: int, *, promised: int = 0) -> None:
    """Raise InsufficientStorage if so many bytes, and those `promised`, leave too few."""
    free = free_bytes(settings.CLIPPER_ARTIFACTS) - promised
    reserve = settings.CLIPPER_MIN_FREE_BYTES
    if free - size < reserve:
        raise InsufficientStorage(
            f"Too little room on the disk for {size} bytes: {max(0, free)} are free, "
            f"of which {reserve} stay free.",
            free=max(0, free),
            reserve=reserve,
        )


def free_bytes(folder: Path) -> int:
    """Return what an ordinary user may still write there, or where it will be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize


@contextmanager
def full_disk_is_507() -> Iterator[None]:
    """Turn a full disk into the error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InsufficientStorage("The disk is full; make room and send it again.") from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it. Raises InsufficientStorage for a full disk."""
    left = memoryview(content)
    with full_disk_is_507():
        while left:
            left = left[os.write(descriptor, left) :]
