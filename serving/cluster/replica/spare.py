"""A spare of a worker: it has imported what the worker has, and stands in for one that is killed.

To start and to import takes a new worker most of the time that its models don't answer. The spare
is forked once all is imported, so they share the memory, and waits in a process group of its own:
nobody takes it for one of the children that a killed worker leaves behind.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from celery.signals import worker_shutting_down
from django.conf import settings

from serving.cluster.membership.workers import worker_id

# The id of the worker that this process stands in for, "" where it is no spare.
_killed = ""


def stands_in_for() -> str:
    return _killed


def fork_spare() -> None:
    """Return in this process at once, and in its spare if this process is killed.

    A spare ends with a process that is told to end. Does nothing where the kernel can't tell of
    the end of a process (pidfd_open, Linux 5.3).
    """
    global _killed
    worker = os.getpid()
    try:
        end = os.pidfd_open(worker)
    except (AttributeError, OSError):
        return
    spare = os.fork()
    if spare:
        os.close(end)
        worker_shutting_down.connect(lambda **_: _end(spare), weak=False)
        return
    os.setpgid(0, 0)
    select.select([end], [], [])
    os.close(end)
    _killed = worker_id(worker)
    _log_to(settings.CLIPPER_VAR / "log" / "stand-in.log")


def _log_to(file: Path) -> None:
    """Write output there: whoever read that of the killed worker has closed its end."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        log = os.open(file, flags, 0o600)
    except OSError:
        log = os.open(os.devnull, flags)
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)


def _end(spare: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(spare, signal.SIGKILL)
