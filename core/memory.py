"""The memory of this machine, or of the container that it looks like."""

import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
# The limit and the usage of a control group, by version 2 and by version 1.
CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def total_bytes() -> int:
    """Return the machine's memory, or the container's limit if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit, _ in CGROUPS:
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(int(limit.read_text()))
    return min(found)


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


def resident_bytes() -> int:
    """Return the resident set size; where the system does not tell it, the peak so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
