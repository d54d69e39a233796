"""Turns on a core that are over soon, where others want it.

Linux leaves a core to whoever has it until the end of a turn, however nice it is and whoever wakes
up meanwhile: 1.4 ms on two cores, 2.8 on eight. A query waits for several wake-ups, of predict
process and replica.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# The shortest that the kernel gives.
TURN_S = 0.0001
# struct sched_attr: size, policy, flags, niceness, priority, runtime, deadline, period.
ATTRIBUTES = "=IIQiIQQQ"
SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}


def take_short_turns(seconds: float = TURN_S) -> None:
    """For this thread, and what it starts from now on; how much of a core it gets stays the same.

    Raises OSError where that can't be told. Linux before 6.12 takes it and goes on as before.
    """
    number = SET_ATTRIBUTES.get(platform.machine())
    if sys.platform != "linux" or number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    size, niceness = struct.calcsize(ATTRIBUTES), os.getpriority(os.PRIO_PROCESS, 0)
    turn = round(seconds * 1e9)
    attributes = struct.pack(ATTRIBUTES, size, os.SCHED_OTHER, 0, niceness, 0, turn, 0, 0)
    if ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
