"""Locks between the processes of a host; the kernel lets go of those of a process that died."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_S = 0.2


class LockHeld(Exception):
    """Others held the lock for all of the time that there was."""


class FileLock:
    """A lock on a file, which stays where it is: others may wait for it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_share(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def try_take(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self, kind: int) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
            return True
        return False


@contextmanager
def one_of(
    paths: Sequence[Path], *, within_s: float, waiting: Callable[[], object]
) -> Iterator[None]:
    """Hold one of these locks, none of which anybody else then has.

    Calls `waiting` between looks; raises LockHeld where none is free in time.
    """
    locks = [FileLock(path) for path in paths]
    deadline = time.monotonic() + within_s
    try:
        # flock can't wait for a while, nor for one of several: a build takes seconds anyway.
        while not any(lock.try_take() for lock in locks):
            if time.monotonic() >= deadline:
                raise LockHeld
            waiting()
            time.sleep(POLL_S)
        yield
    finally:
        for lock in locks:
            lock.release()


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Hold this lock if nobody has it; whether it is held."""
    lock = FileLock(path)
    try:
        yield lock.try_take()
    finally:
        lock.release()
