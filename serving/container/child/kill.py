"""Ends children: with their parent, by the kernel (Linux), or at once, with all they started."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

# Looked up before the fork, in which no more than this one call is safe.
_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def set_parent_death_signal(number: int = signal.SIGKILL) -> None:
    """Have the kernel signal this process when the *thread* that forked it ends (Linux)."""
    if _prctl is not None:
        _prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process with those that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
