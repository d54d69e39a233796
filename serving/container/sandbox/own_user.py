"""A user of its own for a model, if the stack runs as root.

Root without capabilities still owns the files of the stack, and may do to its processes what their
owner may. A user that nobody else is may not. One capability stays: to read what root may read, as
Python, its packages and the artifact may lie in folders of root's alone. Landlock says what of it.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

# Ids from here on belong to nobody on a system with systemd; a process's number is added.
FIRST_USER = 0x7000_0000
CAP_DAC_READ_SEARCH = 2
# CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_PTRACE: to
# become another user, and for the process that has started it to count, end and clear it away.
NEEDED = {CAP_DAC_READ_SEARCH, 0, 1, 5, 6, 7, 8, 19}
_CAPABILITY_VERSION_3 = 0x20080522
_PR_GET_PDEATHSIG, _PR_SET_PDEATHSIG = 2, 1
_PR_GET_SECUREBITS, _PR_SET_SECUREBITS = 27, 28
# Capabilities stay with a change of users, and access() goes by them.
_NO_SETUID_FIXUP = 1 << 2
DEVICES = ("nvidia*", "kfd", "dri/*")


def has_own_user(libc: ctypes.CDLL) -> bool:
    """Return whether this process, or one that it is a child of, has taken one."""
    return os.getuid() >= FIRST_USER and libc.prctl(_PR_GET_SECUREBITS) == _NO_SETUID_FIXUP


def take_own_user(libc: ctypes.CDLL, *, write: Sequence[Path]) -> None:
    """If this is root, become a user that owns the folders `write` and nothing else."""
    held = _permitted(libc)
    if os.getuid() != 0 or not all(held >> capability & 1 for capability in NEEDED):
        return
    user = FIRST_USER + os.getpid()
    killed_with_parent = ctypes.c_int()
    libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(killed_with_parent))
    with suppress(OSError):  # this container may have few users
        for path in _inside(write):
            os.chown(path, user, user, follow_symlinks=False)
        for output in (1, 2):
            if stat.S_ISFIFO(os.fstat(output).st_mode):  # else /dev/stderr couldn't be opened
                os.fchown(output, user, user)
        os.setgroups(_groups_of_devices())
        libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    # The kernel forgets it with the user.
    libc.prctl(_PR_SET_PDEATHSIG, killed_with_parent.value)


def _permitted(libc: ctypes.CDLL) -> int:
    header, sets = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(24)
    if libc.capget(header, sets) != 0:
        return 0
    _, low, _, _, high, _ = struct.unpack("=6I", sets.raw)
    return int(low | high << 32)


def _inside(folders: Sequence[Path]) -> Iterator[str]:
    for folder in folders:
        yield str(folder)
        for path, folders_in_it, files in os.walk(folder):
            for name in (*folders_in_it, *files):
                yield os.path.join(path, name)  # noqa: PTH118  # there may be thousands


def _groups_of_devices() -> list[int]:
    """Return the groups of GPUs, but for root's."""
    nodes = (node for pattern in DEVICES for node in Path("/dev").glob(pattern))
    return list({node.stat().st_gid for node in nodes} - {0})
