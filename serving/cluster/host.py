"""The id of this host: process ids mean the same to all processes of one host."""

import hashlib
import socket
import uuid
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")


@cache
def host_id() -> str:
    """Name this host as it has been since it booted, or this container since it began."""
    parts = (*_kernel_ids(), socket.gethostname())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _kernel_ids() -> tuple[str, str]:
    try:
        return BOOT_ID.read_text().strip(), str(PID_NAMESPACE.stat().st_ino)
    except OSError:  # not Linux, where process ids have no namespaces
        return f"{uuid.getnode():x}", ""
