"""The memory and the cores of this machine, or of the container that it looks like."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# A replica takes 25 to 130 MiB and its model; a slot without one takes 8 MiB.
BYTES_PER_SLOT = 256 << 20
SLOTS_PER_CORE = 8
# For the demo, a release, and some models of one's own.
FEWEST_SLOTS = 8
MOST_SLOTS = 64


def memory_bytes() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in map(Path, CONTAINER_LIMITS):
        with suppress(OSError, ValueError):  # "max": no limit
            memory = min(memory, int(file.read_text()))
    return memory


def cpu_slots(*, memory: int, cores: int) -> int:
    """Return how many replicas the CPU worker holds at once where no setting says so."""
    fitting = min(memory // BYTES_PER_SLOT, cores * SLOTS_PER_CORE)
    return max(FEWEST_SLOTS, min(fitting, MOST_SLOTS))
