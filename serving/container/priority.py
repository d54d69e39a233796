"""Work that lets others go first: what can wait, in a process that can't wait afterwards."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
# Beyond its own: beside processes that are as nice as this one, a tenth of a core.
LATER = 10


def letting_others_go_first(work: Callable[[], T]) -> T:
    """Do the work in a thread of a higher niceness; return or raise what comes of it.

    On Linux each thread has a niceness of its own. A process that raised its own could not lower it
    again without privileges, and would serve more slowly ever after. Threads that the work starts
    inherit it: nothing that answers queries later may be among them.
    """
    if sys.platform != "linux":
        return work()
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        with suppress(OSError):  # a sandbox may not let it
            # Of the calling thread.
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + LATER)
        try:
            done.append(work())
        except BaseException as error:  # it is raised where it is waited for
            failed.append(error)

    thread = threading.Thread(target=run, name="later", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
