"""A user of its own for a model, if the stack runs as root.

Root without capabilities still owns the files of the stack, and may do to its processes what their
owner may. A user that nobody else is may not. One capability stays: to read what root may read, as
Python, its packages and the artifact may lie in folders of root's alone. Landlock says what of it.
"""

import ctypes
import os
import re
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
# Capabilities stay with a change of users, and access() goes by them.
_NO_SETUID_FIXUP = 1 << 2
DEVICES = ("nvidia*", "kfd", "dri/*")


def has_own_user(libc: ctypes.CDLL) -> bool:
    """Return whether this process, or one that it is a child of, has taken one."""
    securebits = libc.prctl(27)  # PR_GET_SECUREBITS
    return os.getuid() >= FIRST_USER and securebits == _NO_SETUID_FIXUP


def take_own_user(libc: ctypes.CDLL, *, write: Sequence[Path]) -> None:
    """If this is root, become a user that owns the folders `write` and nothing else."""
    permitted = re.search(r"(?m)^CapPrm:\s*(\w+)", Path("/proc/self/status").read_text())
    held = int(permitted[1], 16) if permitted else 0
    if os.getuid() != 0 or not all(held >> capability & 1 for capability in NEEDED):
        return
    user = FIRST_USER + os.getpid()
    killed_with_parent = ctypes.c_int()
    libc.prctl(2, ctypes.byref(killed_with_parent))  # PR_GET_PDEATHSIG
    with suppress(OSError):  # this container may have few users
        for path in _inside(write):
            os.chown(path, user, user, follow_symlinks=False)
        for output in (1, 2):
            if stat.S_ISFIFO(os.fstat(output).st_mode):  # else /dev/stderr couldn't be opened
                os.fchown(output, user, user)
        # Those of GPUs, but for root's.
        nodes = (node for pattern in DEVICES for node in Path("/dev").glob(pattern))
        os.setgroups([*({node.stat().st_gid for node in nodes} - {0})])
        libc.prctl(28, _NO_SETUID_FIXUP)  # PR_SET_SECUREBITS
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    # The kernel forgets it with the user.
    libc.prctl(1, killed_with_parent.value)  # PR_SET_PDEATHSIG


def drop_capabilities(libc: ctypes.CDLL, *, is_own_user: bool) -> None:
    """Drop all capabilities, but one of a model's own user."""
    mask = 1 << CAP_DAC_READ_SEARCH if is_own_user else 0
    for capability in range(64):  # PR_CAPBSET_DROP, which fails for those that nobody has
        if not mask >> capability & 1:
            libc.prctl(24, capability, 0, 0, 0)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    if libc.capset(header, struct.pack("=6I", mask, mask, mask, 0, 0, 0)) < 0:
        raise OSError(ctypes.get_errno(), "capabilities can't be dropped")
    # PR_CAP_AMBIENT_RAISE
    if is_own_user and libc.prctl(47, 2, CAP_DAC_READ_SEARCH, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "the right to read can't be passed on")


def _inside(folders: Sequence[Path]) -> Iterator[str]:
    for folder in folders:
        yield str(folder)
        for path, folders_in_it, files in os.walk(folder):
            for name in (*folders_in_it, *files):
                yield os.path.join(path, name)  # noqa: PTH118  # there may be thousands
