"""Keeps what a process forks from holding its sockets: peers are to see its end, not theirs.

Close-on-exec doesn't help where nothing is executed, as in a model that forks with `os.fork` or
`multiprocessing`. A fork made by C code comes without Python's hooks: of its parent's death the
directory tells.
"""

from __future__ import annotations

import os
from contextlib import suppress

_descriptors: set[int] = set()


def keep_from_forks(descriptor: int) -> None:
    """Have every fork from now on let go of this descriptor."""
    _descriptors.add(descriptor)


def forget(descriptor: int) -> None:
    """It is closed: its number may stand for something else."""
    _descriptors.discard(descriptor)


def _let_go() -> None:
    """In a forked child: put nothing in the place of each, whose number an object still knows."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in _descriptors:
        with suppress(OSError):
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    _descriptors.clear()


os.register_at_fork(after_in_child=_let_go)
