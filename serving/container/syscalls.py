"""Filters of system calls (seccomp), for what Landlock says nothing of.

Unix sockets that have a path: behind them the stack's Redis and supervisor listen. Namespaces of
its own, in which a process has every capability: much of the kernel is open to nobody else. And the
group of processes, with which it ends: none leaves it, nor signals all of it.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence
from typing import NamedTuple

_PR_SET_SECCOMP, _FILTER = 22, 2
LOAD, EQUAL, _ANY_OF, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, _FAIL = 0x7FFF0000, 0x00050000
# What fails with no error has returned 0.
_DO_NOTHING = _FAIL
_REFUSE, UNKNOWN = _FAIL | errno.EACCES, _FAIL | errno.ENOSYS
NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_AF_UNIX = 1
# No other namespace is to be had without privileges, but within one of these.
_NEW_USER = 0x10000000
_X32 = 0x40000000
# Of a number of 32 bits.
_NEGATIVE = 0x80000000
# Does what socket() does, unseen by a filter.
_IO_URING_SETUP = 425
# Has its flags where no filter can look. Who is told that there is none calls clone().
_CLONE3 = 435


class _Machine(NamedTuple):
    """Its number for the kernel, and those of its calls."""

    number: int
    socket: int
    clone: int
    unshare: int
    setpgid: int
    setsid: int
    kill: int


_MACHINES = {
    "x86_64": _Machine(
        0xC000003E, socket=41, clone=56, unshare=272, setpgid=109, setsid=112, kill=62
    ),
    "aarch64": _Machine(
        0xC00000B7, socket=198, clone=220, unshare=97, setpgid=154, setsid=157, kill=129
    ),
}
# Code, jumps where it holds and where it doesn't (counted from the next step), value.
_Step = tuple[int, int, int, int]


def refuse_unix_sockets(libc: ctypes.CDLL) -> bool:
    """For this process and all that it starts, for good; whether it could be done.

    Pairs of sockets stay: they lead nowhere else. Needs no_new_privs or root.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    steps = [
        (LOAD, 0, 0, _MACHINE_AT),
        (EQUAL, 0, 6, machine.number),  # calls of another machine have other numbers
        (LOAD, 0, 0, NUMBER_AT),
        (_ANY_OF, 4, 0, _X32),
        (EQUAL, 3, 0, _IO_URING_SETUP),
        (EQUAL, 0, 3, machine.socket),
        (LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (EQUAL, 0, 1, _AF_UNIX),
        (RETURN, 0, 0, _REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return install(libc, steps)


def refuse_namespaces(libc: ctypes.CDLL) -> bool:
    """For this process and all that it starts, for good; whether it could be done.

    Needs no_new_privs or root.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    steps = [
        (LOAD, 0, 0, _MACHINE_AT),
        (EQUAL, 0, 7, machine.number),
        (LOAD, 0, 0, NUMBER_AT),
        (_ANY_OF, 5, 0, _X32),
        (EQUAL, 5, 0, _CLONE3),
        (EQUAL, 1, 0, machine.unshare),
        (EQUAL, 0, 4, machine.clone),
        (LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_OF, 0, 2, _NEW_USER),
        (RETURN, 0, 0, _REFUSE),
        (RETURN, 0, 0, UNKNOWN),
        (RETURN, 0, 0, ALLOW),
    ]
    return install(libc, steps)


def keep_in_group(libc: ctypes.CDLL) -> bool:
    """For this process and all that it starts, for good; whether it could be done.

    Whoever leads its group ends all of them by one signal. Libraries start helpers in sessions of
    their own, and would fail where that is refused: they are told that it was done. What they then
    signal as a group of its own (0, or a negative number) would be the model itself: that fails.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    steps = [
        (LOAD, 0, 0, _MACHINE_AT),
        (EQUAL, 0, 9, machine.number),
        (LOAD, 0, 0, NUMBER_AT),
        (_ANY_OF, 7, 0, _X32),
        (EQUAL, 5, 0, machine.setpgid),
        (EQUAL, 4, 0, machine.setsid),
        (EQUAL, 0, 5, machine.kill),
        (LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (EQUAL, 2, 0, 0),
        (_ANY_OF, 1, 2, _NEGATIVE),
        (RETURN, 0, 0, _DO_NOTHING),
        (RETURN, 0, 0, _REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return install(libc, steps)


def install(libc: ctypes.CDLL, steps: Sequence[_Step]) -> bool:
    """Filter by these steps from now on; whether the kernel does."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    head = struct.pack("@HP", len(steps), ctypes.addressof(program))
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, head, 0, 0) == 0)
