"""Locks between the processes of one host, by files: who dies lets go of them."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# The kernel wakes nobody who waits for a lock until a moment.
LOOK_S = 0.1


class LockTimeout(Exception):
    """Another process has held the lock for all of the time there was."""


@contextmanager
def only_one(
    path: Path, *, until: float, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold the lock named by this file, which goes with it.

    Waits until this monotonic time, and calls `meanwhile` again and again; what that raises ends
    the waiting. Raises LockTimeout.
    """
    descriptor = _acquire(path, until=until, meanwhile=meanwhile)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # first, so that whoever gets the lock sees that it is gone
        os.close(descriptor)


def _acquire(path: Path, *, until: float, meanwhile: Callable[[], object]) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while not try_lock(descriptor, fcntl.LOCK_EX):
                if time.monotonic() >= until:
                    raise LockTimeout(path.name)
                meanwhile()
                time.sleep(LOOK_S)
        except BaseException:
            os.close(descriptor)
            raise
        if is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # its holder has removed it: the next one has another file


def try_lock(descriptor: int, operation: int) -> bool:
    """Lock an open file (`fcntl.LOCK_SH` or `LOCK_EX`); False where others are in the way."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
