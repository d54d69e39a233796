"""What only one stack, or one restart of it, can have at a time: its folder and its port."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StackError


@contextmanager
def sole_stack_of(var: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends."""
    taken = "A stack already runs on {var} (process {owner}): stop it, or choose another VAR."
    with _held(var, file="lock", taken=taken):
        yield


@contextmanager
def sole_restart_of(var: Path) -> Iterator[None]:
    """Hold the lock of who replaces processes of its stack: two would end each other's new ones."""
    taken = "A restart of the stack on {var} is under way already (process {owner}): wait for it."
    with _held(var, file="restart.lock", taken=taken):
        yield


@contextmanager
def _held(var: Path, *, file: str, taken: str) -> Iterator[None]:
    descriptor = os.open(var / file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode() or "unknown"
            raise StackError(taken.format(var=var, owner=owner)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def refuse_taken_port(host: str, *, port: int, name: str = "make run PORT") -> None:
    """Raise StackError where a port can't be listened on; `name` is what sets it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server does, so that connections of a previous run in TIME_WAIT don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error})"
            raise StackError(
                f"Port {port} on {host} {reason}: choose another, e.g. {name}={port + 1}."
            ) from None
