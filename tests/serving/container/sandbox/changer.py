"""A model that tries to change its host by each call that could, and says what it has got."""

import ctypes
import errno
import json
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# Numbers of calls that Python has no function for, on x86_64 and aarch64.
CALLS = {
    "ioprio_set": (251, 30),
    "sched_setattr": (314, 274),
    "shmget": (29, 194),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "setxattr": (188, 5),
    "fsetxattr": (190, 7),
    "fchmodat2": (452, 452),
    "setxattrat": (463, 463),
    "file_setattr": (469, 469),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "ptrace": (101, 117),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
}
COLUMN = ("x86_64", "aarch64").index(platform.machine())
SETS_FLAGS, NO_ACCESS_TIME = 0x40086602, struct.pack("@l", 0x80)
WHO_PROCESS, IDLE_CLASS, BATCH = 1, 3 << 13, 3
CURRENT_FOLDER, DAY_ONE = -100, (1, 1)
MPTCP, RAW = 262, socket.SOCK_RAW
LOCAL_PORT_RANGE = 51
# Of keys: that of the session.
SESSION_KEYRING = -3
VALUE = ctypes.create_string_buffer(b"1")
KEPT: list[socket.socket] = []
FILLED_IN = """@TARGETS@"""
TARGETS: dict[str, Any] = json.loads(FILLED_IN) if FILLED_IN.startswith("{") else {}


class Predictor:
    n_features = 1

    def __init__(self, path: str) -> None:
        attack()

    def pred_batch(self, inputs: Sequence[object]) -> list[int]:
        return [0] * len(inputs)


def attack() -> None:
    """Try all, and tell whoever listens which of them said that they had worked."""
    got = []
    for name, change in CHANGES.items():
        with suppress(Exception):
            if change() is not False:
                got.append(name)
    with socket.create_connection(("127.0.0.1", TARGETS["told_at"])) as peer:
        peer.sendall(json.dumps(got).encode())


def call(name: str, *arguments: object) -> int:
    """Call the kernel; raise the OSError that it answers with."""
    libc = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(libc.syscall(CALLS[name][COLUMN], *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def is_there(name: str, *arguments: object) -> bool:
    """Return if the kernel looks at the arguments, and finds no more than those amiss."""
    try:
        call(name, *arguments)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS)
    return True


def victim() -> int:
    return int(TARGETS["pid"])


def target(name: str) -> bytes:
    return os.fsencode(Path(TARGETS["folder"], name))


def artifact() -> int:
    """The descriptor of a file of the host's that the model may read."""
    return os.open(TARGETS["readable"], os.O_RDONLY)


def socket_of(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def bind(protocol: int = 0, *, narrow: bool = False) -> None:
    """Keep the stack's port, while it is free, for as long as this process lives."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    port = TARGETS["port"]
    if narrow:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        narrowed = struct.pack("=I", (low + 7) << 16 | low + 7)
        peer.setsockopt(socket.SOL_IP, LOCAL_PORT_RANGE, narrowed)
        port = 0
    peer.bind(("127.0.0.1", port))
    peer.listen()
    KEPT.append(peer)


def speak_to_the_stack() -> None:
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect(TARGETS["socket"])
    one.send(b"as the stack does")


def queue() -> None:
    call("mq_open", b"clipper-attack", os.O_CREAT | os.O_RDWR, 0o600, None)
    call("mq_unlink", b"clipper-attack")


def attributes() -> bytes:
    """Return the attributes of a file whose time of access stays."""
    return struct.pack("=QIIII", 0x40, 0, 0, 0, 0)


CHANGES: dict[str, Callable[[], object]] = {
    "limits": lambda: resource.prlimit(victim(), resource.RLIMIT_NOFILE, (5, 5)),
    "niceness": lambda: os.setpriority(os.PRIO_PROCESS, victim(), 19),
    "scheduler": lambda: os.sched_setscheduler(victim(), BATCH, os.sched_param(0)),
    "scheduling attributes": lambda: call(
        "sched_setattr", victim(), struct.pack("=IIQiIQQQ", 48, BATCH, 0, 12, 0, 0, 0, 0), 0
    ),
    "cores": lambda: os.sched_setaffinity(victim(), {max(os.sched_getaffinity(victim()))}),
    "disk priority": lambda: call("ioprio_set", WHO_PROCESS, victim(), IDLE_CLASS),
    "chmod": lambda: Path(TARGETS["folder"], "chmod").chmod(0o644),
    "fchmod": lambda: os.fchmod(artifact(), 0o666),
    "fchmodat2": lambda: call("fchmodat2", CURRENT_FOLDER, target("fchmodat2"), 0o644, 0),
    "chown": lambda: os.chown(target("chown"), os.getuid(), os.getgid()),
    "lchown": lambda: os.lchown(target("lchown"), os.getuid(), os.getgid()),
    "fchown": lambda: os.fchown(artifact(), os.getuid(), os.getgid()),
    "utime": lambda: os.utime(target("utime"), ns=DAY_ONE),
    "futimens": lambda: os.utime(artifact(), ns=DAY_ONE),
    "setxattr": lambda: os.setxattr(target("setxattr"), "user.a", b"1"),
    "fsetxattr": lambda: os.setxattr(artifact(), "user.a", b"1"),
    "removexattr": lambda: os.removexattr(target("removexattr"), "user.kept"),
    "setxattrat": lambda: call(
        "setxattrat",
        CURRENT_FOLDER,
        target("setxattrat"),
        0,
        b"user.a",
        struct.pack("=QII", ctypes.addressof(VALUE), 1, 0),
        16,
    ),
    "chattr": lambda: ioctl(artifact()),
    "file_setattr": lambda: call(
        "file_setattr", CURRENT_FOLDER, target("file_setattr"), attributes(), 24, 0
    ),
    "truncate": lambda: os.truncate(target("truncate"), 0),
    "port": bind,
    "port by MPTCP": lambda: bind(MPTCP),
    "chosen port": lambda: bind(narrow=True),
    "stack's socket": speak_to_the_stack,
    "shared memory": lambda: call("shmctl", call("shmget", 0, 4096, 0o1600), 0, None),
    "semaphores": lambda: call("semctl", call("semget", 0, 1, 0o1600), 0, 0, None),
    "messages": lambda: call("msgctl", call("msgget", 0, 0o1600), 0, None),
    "queue": queue,
    "vsock": lambda: is_allowed(socket.AF_VSOCK, socket.SOCK_STREAM),
    "netlink": lambda: socket_of(socket.AF_NETLINK, RAW),
    "kernel's ciphers": lambda: socket_of(socket.AF_ALG, socket.SOCK_SEQPACKET),
    "io_uring": lambda: is_there("io_uring_setup", 0, None),
    "userfaultfd": lambda: is_there("userfaultfd", 1),
    "keys": lambda: call("add_key", b"user", b"clipper", b"1", 1, SESSION_KEYRING),
    "ptrace": lambda: is_there("ptrace", 0x4206, 0, 0, 0),
    "kcmp": lambda: is_there("kcmp", os.getpid(), os.getpid(), 0, 0, 0),
    "descriptors of others": lambda: is_there("pidfd_getfd", -1, 0, 0),
    "perf": lambda: is_there("perf_event_open", None, 0, -1, -1, 0),
}


def is_allowed(family: int, kind: int) -> bool:
    try:
        socket_of(family, kind)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.EACCES)
    return True


def ioctl(descriptor: int) -> None:
    import fcntl

    fcntl.ioctl(descriptor, SETS_FLAGS, NO_ACCESS_TIME)


if __name__ == "__main__":
    attack()
    sys.exit("no model")
