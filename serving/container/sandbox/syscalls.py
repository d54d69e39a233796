"""A filter of system calls (seccomp), for what Landlock says nothing of.

Landlock looks after files that are opened, processes that are signalled and ports that are bound.
The filter keeps a program from other ways to its host: sockets that lead elsewhere than to the
network, namespaces, the limits and priorities of other processes, what outlives it in the kernel,
and the modes, owners, times and attributes of files. A filter sees the numbers of a call, no path
and no process: calls on files that libraries make on their own files too succeed and do nothing.
"""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Steps of a filter: load a word, compare it, look for one of its bits, answer.
LOAD, EQUAL, _ANY_OF, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, _FAIL = 0x7FFF0000, 0x00050000
# A call that fails with no error has returned 0.
_DO_NOTHING = _FAIL
_REFUSE, UNKNOWN = _FAIL | errno.EPERM, _FAIL | errno.ENOSYS
# The place of a call's number; its architecture lies at 4, its arguments from 16 on.
NUMBER_AT = 0
# FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION, EXT4_IOC_SETVERSION, FS_IOC_ENABLE_VERITY,
# FS_IOC_SET_ENCRYPTION_POLICY, BTRFS_IOC_SUBVOL_SETFLAGS, FAT_IOCTL_SET_ATTRIBUTES.
_FILE_IOCTLS = (
    *(0x40086602, 0x401C5820, 0x40087602, 0x40086604),
    *(0x40806685, 0x800C6613, 0x4008941A, 0x40047211),
)
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Code, jumps where it holds and where it doesn't (counted from the next step), value.
_Step = tuple[int, int, int, int]


class _Test(NamedTuple):
    """A test whether an argument is a number, or has one of its bits."""

    argument: int
    code: int
    number: int
    holds: bool = True


class _Rule(NamedTuple):
    """An answer to calls if all tests hold."""

    action: int
    x86_64: tuple[int, ...]
    aarch64: tuple[int, ...]
    tests: tuple[_Test, ...] = ()

    def steps(self, machine: str) -> Iterator[_Step]:
        numbers = self.x86_64 if machine == "x86_64" else self.aarch64
        if not numbers:
            return
        end = 2 * len(self.tests) + 1
        yield (LOAD, 0, 0, NUMBER_AT)
        for left, number in zip(reversed(range(len(numbers))), numbers, strict=True):
            yield (EQUAL, left, 0 if left else end, number)
        for place, test in enumerate(self.tests, 1):
            yield (LOAD, 0, 0, 16 + 8 * test.argument)
            over = end - 2 * place
            jumps = (0, over) if test.holds else (over, 0)
            yield (test.code, *jumps, test.number)
        yield (RETURN, 0, 0, self.action)


def _is(argument: int, number: int) -> tuple[_Test]:
    return (_Test(argument, EQUAL, number),)


def _is_not(argument: int, *numbers: int) -> tuple[_Test, ...]:
    return tuple(_Test(argument, EQUAL, number, holds=False) for number in numbers)


def _has(argument: int, bits: int) -> tuple[_Test]:
    return (_Test(argument, _ANY_OF, bits),)


def _rules(*, sockets: bool) -> Iterator[_Rule]:
    """Yield the rules for every program; the first that fits counts."""
    families = (socket.AF_INET, socket.AF_INET6, *((socket.AF_UNIX,) if sockets else ()))
    own = (0, os.getpid())
    # socket, of whose protocols those beyond IP's (MPTCP, SMC) reach clients of TCP from ports that
    # Landlock doesn't look after; socketpair, of which datagrams could be sent to others
    yield _Rule(_REFUSE, (41,), (198,), _is_not(0, *families))
    yield _Rule(_REFUSE, (41,), (198,), _has(2, 0xFFFFFF00))
    yield _Rule(_REFUSE, (53,), (199,), _has(1, socket.SOCK_DGRAM))
    # setsockopt: with a range of its own (IP_LOCAL_PORT_RANGE) a port could be chosen among those
    # that are handed out.
    yield _Rule(_REFUSE, (54,), (208,), _is(1, socket.SOL_IP) + _is(2, 51))
    # setsockopt: a socket's buffers count nowhere, so they stay as large as they are. One that
    # lingers keeps whoever closes it waiting, also a process of the stack that it was passed to.
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_LINGER):
        yield _Rule(_DO_NOTHING, (54,), (208,), _is(1, socket.SOL_SOCKET) + _is(2, option))
    # prctl (PR_SET_PDEATHSIG): a model is killed with its replica's process, and can't undo that.
    yield _Rule(_DO_NOTHING, (157,), (167,), _is(0, 1) + _is_not(1, signal.SIGKILL))
    # io_uring_setup: it does what other calls do, unseen by a filter.
    yield _Rule(_REFUSE, (425,), (425,))
    # clone, unshare (CLONE_NEWUSER): no other namespace is to be had without privileges, but within
    # one of a user's. clone3 has its flags where no filter looks; libraries then call clone.
    yield _Rule(_REFUSE, (56, 272), (220, 97), _has(0, 0x10000000))
    yield _Rule(UNKNOWN, (435,), (435,))
    # setpgid, setsid: whoever leads the group ends all of it by one signal. Libraries start helpers
    # in sessions of their own, and would fail if that was refused. A signal to such a group (kill,
    # pidfd_send_signal) would reach the model itself: that fails.
    yield _Rule(_DO_NOTHING, (109, 112), (154, 157))
    yield _Rule(_REFUSE, (62,), (129,), _is(0, 0))
    yield _Rule(_REFUSE, (62,), (129,), _has(0, 1 << 31))  # the sign of a number of 32 bits
    yield _Rule(_REFUSE, (424,), (424,), _has(3, 4))  # PIDFD_SIGNAL_PROCESS_GROUP
    # prlimit64, sched_setparam, sched_setscheduler, sched_setattr, migrate_pages, move_pages
    others = (302, 142, 144, 314, 256, 279), (261, 118, 119, 274, 238, 239)
    yield _Rule(_REFUSE, *others, _is_not(0, *own))
    # setpriority, ioprio_set (IOPRIO_WHO_PROCESS)
    yield _Rule(_REFUSE, (141,), (140,), _is_not(0, os.PRIO_PROCESS))
    yield _Rule(_REFUSE, (251,), (30,), _is_not(0, 1))
    yield _Rule(_REFUSE, (141, 251), (140, 30), _is_not(1, *own))
    # sched_setaffinity: libraries name their own threads by numbers that only the kernel knows.
    yield _Rule(_DO_NOTHING, (203,), (122,), _is_not(0, *own))
    # ptrace, process_vm_readv, process_vm_writev, kcmp, pidfd_getfd, process_madvise
    yield _Rule(_REFUSE, (101, 310, 311, 312, 438, 440), (117, 270, 271, 272, 438, 440))
    # memfd_create, memfd_secret: such memory counts nowhere as long as it isn't mapped.
    yield _Rule(UNKNOWN, (319, 447), (279, 447))
    # Such objects outlive it: shmget, shmat, shmctl; semget, semop, semctl, semtimedop; msgget,
    # msgsnd, msgrcv, msgctl; mq_open, mq_unlink; add_key, request_key, keyctl
    yield _Rule(_REFUSE, (29, 30, 31, 64, 65, 66, 220), (194, 196, 195, 190, 193, 191, 192))
    yield _Rule(_REFUSE, (68, 69, 70, 71, 240, 241), (186, 189, 188, 187, 180, 181))
    yield _Rule(_REFUSE, (248, 249, 250), (217, 218, 219))
    # bpf, perf_event_open, userfaultfd, open_by_handle_at, syslog, quotactl, quotactl_fd
    yield _Rule(_REFUSE, (321, 298, 323, 304, 103, 179, 443), (280, 241, 282, 265, 116, 60, 443))
    # fcntl: with a lease on a file that it reads it would hold up those who write it.
    yield _Rule(_REFUSE, (72,), (25,), _is(1, fcntl.F_SETLEASE))
    # utime, utimes, futimesat, utimensat
    yield _Rule(_DO_NOTHING, (132, 235, 261, 280), (88,))
    # setxattr, lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr; setxattrat,
    # removexattrat, file_setattr
    yield _Rule(_DO_NOTHING, (188, 189, 190, 197, 198, 199), (5, 6, 7, 14, 15, 16))
    yield _Rule(_DO_NOTHING, (463, 466, 469), (463, 466, 469))
    for request in _FILE_IOCTLS:
        yield _Rule(_DO_NOTHING, (16,), (29,), _is(1, request))


# chown, fchown, lchown, fchownat; chmod, fchmod, fchmodat, fchmodat2
_MODES = (
    _Rule(_DO_NOTHING, (92, 93, 94, 260), (55, 54)),
    _Rule(_DO_NOTHING, (90, 91, 268, 452), (52, 53, 452)),
)


def filter_calls(libc: ctypes.CDLL, *, sockets: bool, modes: bool, truncate: bool) -> bool:
    """Filter the calls of this process and all that it starts, for good; return whether it is done.

    It may open Unix sockets with `sockets`, change the modes and owners of its user's files with
    `modes`, and shorten a file by its path with `truncate`. Needs no_new_privs or root.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        return False
    rules = [*_rules(sockets=sockets), *(() if modes else _MODES)]
    rules += () if truncate else (_Rule(_REFUSE, (76,), (45,)),)
    steps = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, _ARCHITECTURES[machine]),  # calls of another one have other numbers
        (RETURN, 0, 0, _REFUSE),
        (LOAD, 0, 0, NUMBER_AT),
        (_ANY_OF, 0, 1, 0x40000000),  # those of x32
        (RETURN, 0, 0, _REFUSE),
        *(step for rule in rules for step in rule.steps(machine)),
        (RETURN, 0, 0, ALLOW),
    ]
    return install(libc, steps)


def install(libc: ctypes.CDLL, steps: Sequence[_Step]) -> bool:
    """Filter by these steps from now on; whether the kernel does."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    head = struct.pack("@HP", len(steps), ctypes.addressof(program))
    return bool(libc.prctl(22, 2, head, 0, 0) == 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
