"""Keeps a process from opening Unix sockets, behind which the stack's Redis and supervisor listen.

A filter of system calls (seccomp): Landlock says nothing of connecting to a socket that has a path.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_PR_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _EQUAL, _ANY_OF, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_NUMBER_AT, _MACHINE_AT, _FAMILY_AT = 0, 4, 16
_AF_UNIX = 1
_X32 = 0x40000000
# Does what socket() does, unseen by a filter.
_IO_URING_SETUP = 425
# Of each machine its number for the kernel, and that of its call socket().
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


def refuse_unix_sockets(libc: ctypes.CDLL) -> bool:
    """For this process and all that it starts, for good; whether it could be done.

    Pairs of sockets stay: they lead nowhere else. Needs no_new_privs or root.
    """
    known = _MACHINES.get(platform.machine())
    if known is None:
        return False
    machine, socket_call = known
    steps = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 0, 6, machine),  # calls of another machine have other numbers
        (_LOAD, 0, 0, _NUMBER_AT),
        (_ANY_OF, 4, 0, _X32),
        (_EQUAL, 3, 0, _IO_URING_SETUP),
        (_EQUAL, 0, 3, socket_call),
        (_LOAD, 0, 0, _FAMILY_AT),
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    head = struct.pack("@HP", len(steps), ctypes.addressof(program))
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, head, 0, 0) == 0)
