"""Locks of a stack: its folder, its restart and its port belong to one at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clipper_site.stack.terminal import StackError

# supervisord closes the descriptors below it in each program that it starts (`minfds`).
FIRST_KEPT_DESCRIPTOR = 128
BACKLOG = 4096


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
    """Raise StackError if a port can't be listened on; `name` is what sets it."""
    _listen(host, port=port, name=name).close()


@contextmanager
def held_port(host: str, *, port: int) -> Iterator[int]:
    """Listen on the stack's port while the block runs, and yield the descriptor to inherit.

    The predict master takes connections from it. The port is taken whether a master runs or not,
    so no model can bind it in between.
    """
    with closing(_listen(host, port=port, name="make run PORT")) as listening:
        inherited = fcntl.fcntl(listening, fcntl.F_DUPFD, FIRST_KEPT_DESCRIPTOR)
        try:
            yield inherited
        finally:
            os.close(inherited)


def _listen(host: str, *, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # Connections of a previous run in TIME_WAIT don't count.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error})"
        raise StackError(
            f"Port {port} on {host} {reason}: choose another, e.g. {name}={port + 1}."
        ) from None
    return listening
