"""Locks between the processes of one host, by files: who dies lets go of them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class LockTimeout(Exception):
    """Other processes have held the lock for all of the time there was."""


class FileLock:
    """A lock that is held, alone or shared, until it is released."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, *, shared: bool = False) -> FileLock | None:
        """Hold the lock named by this file, None where others are in the way."""
        while True:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            if not try_lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                os.close(descriptor)
                return None
            if is_at(path, descriptor):
                return cls(descriptor)
            os.close(descriptor)  # its holder has removed it: the next one has another file

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def only_one(
    path: Path, *, until: float, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold the lock named by this file, as `one_of` does."""
    with one_of([path], until=until, meanwhile=meanwhile):
        yield


@contextmanager
def one_of(
    paths: Sequence[Path], *, until: float, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold one of the locks named by these files, which goes with it.

    Waits until this monotonic time, and calls `meanwhile` again and again; what that raises ends
    the waiting. Raises LockTimeout.
    """
    while True:
        for path in paths:
            with taken(path) as held:
                if held:
                    yield
                    return
        if time.monotonic() >= until:
            raise LockTimeout(paths[0].name)
        meanwhile()
        # The kernel wakes nobody who waits for a lock until a moment, nor for one of several.
        time.sleep(0.1)


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Hold the lock named by this file, which goes with it, if it is free; whether it is held."""
    lock = FileLock.take(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            path.unlink(missing_ok=True)  # first, so that whoever gets it sees that it is gone
            lock.release()


def try_lock(descriptor: int, operation: int) -> bool:
    """Lock an open file (`fcntl.LOCK_SH` or `LOCK_EX`); False where others are in the way."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(path: Path, descriptor: int) -> bool:
    """Return whether the open file is still the one of this name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
