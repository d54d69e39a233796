"""Processes of a stack: found by their mark, ended for certain, tied to the launcher's life."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Marks each process of a stack, so that what a crash left behind can be found and stopped.
MARK = "CLIPPER_STACK"
PR_SET_PDEATHSIG = 1
LOOK_AGAIN_SECONDS = 0.05
KILL_SECONDS = 5.0


def dying_with_its_parent() -> Callable[[], None] | None:
    """A `preexec_fn`: the child gets SIGTERM when the launcher dies, even of `kill -9` (Linux)."""
    if sys.platform != "linux":
        return None
    launcher = os.getpid()
    # Loaded before the fork: after it only a plain call is safe.
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher:  # it died in between
            os._exit(1)

    return tie


def processes_of(var: Path) -> list[int]:
    """Every process that carries the mark of the stack on `var` (Linux; elsewhere none)."""
    mark = f"{MARK}={var}".encode()
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if mark in _environment_of(folder) and int(folder.name) != os.getpid()
    ]


def _environment_of(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt to end processes went: ids that were there, and those that took a KILL."""

    found: frozenset[int]
    killed: frozenset[int]
    left: frozenset[int]


def end_all(find: Callable[[], list[int]], *, grace_seconds: float) -> Ended:
    """End whatever `find` finds: TERM, and after the grace time KILL.

    It is asked anew each time, since a process may have started another meanwhile.
    """
    found = find()
    _send(found, signal_number=signal.SIGTERM)
    stubborn = _wait_until_gone(find, seconds=grace_seconds)
    _send(stubborn, signal_number=signal.SIGKILL)
    left = _wait_until_gone(find, seconds=KILL_SECONDS) if stubborn else []
    return Ended(
        found=frozenset(found) | frozenset(stubborn),
        killed=frozenset(stubborn),
        left=frozenset(left),
    )


def _wait_until_gone(find: Callable[[], list[int]], *, seconds: float) -> list[int]:
    """Wait until nothing is found, at most so long; returns what is still there."""
    deadline = time.monotonic() + seconds
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_SECONDS)
    return left


def _send(pids: list[int], *, signal_number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)
