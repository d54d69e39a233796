"""The memory that this machine, or the container that it looks like, has left."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def available_bytes() -> int:
    """Return what processes can still take without swapping; 0 if this system doesn't say."""
    found = []
    with suppress(OSError):
        if line := re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(), re.MULTILINE):
            found.append(int(line[1]) << 10)
    for limit, used in CGROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(max(0, int(limit.read_text()) - int(used.read_text())))
    return min(found, default=0)
