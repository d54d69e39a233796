"""Ties a child process to its parent: it hears of the parent's shutdown, and never outlives it.

Two means, as neither is enough. The kernel's parent-death signal (Linux) ends a child at once, a
child busy inside a model's C code too, but knows nothing of an orderly shutdown. The lifeline, a
pipe whose writing end only the parent holds, tells every child by its end of file, also one that
is forked during the shutdown, which a signal to the present children would miss.
"""

import os
import select
from pathlib import Path

from serving.container.child.kill import set_parent_death_signal


def die_with_parent(parent: int) -> None:
    """Have the kernel (Linux) kill this process when its parent ends; end if it has ended."""
    set_parent_death_signal()
    if os.getppid() != parent:
        os._exit(1)


def process_lives(pid: int) -> bool:
    """Return whether a process of this host runs, and isn't only waiting to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's, but there
    try:
        # "pid (name) state ...", where the name may hold spaces and brackets.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no /proc on this system
    return state not in "ZX"


class Lifeline:
    """A pipe between a parent, which made it before it forked, and all of its children."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self._read_end, self._write_end = os.pipe()

    @property
    def descriptor(self) -> int:
        """Becomes readable, and stays so, once the lifeline is cut."""
        return self._read_end

    def is_cut(self) -> bool:
        """Return whether the parent is shutting down or gone."""
        if os.getpid() != self.parent and os.getppid() != self.parent:
            return True
        readable, _, _ = select.select([self._read_end], [], [], 0)
        return bool(readable)

    def cut(self) -> None:
        """Close this process's writing end.

        In the parent that tells every child, present and future, to come to an end. A child lets go
        of the end that it has inherited.
        """
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1
