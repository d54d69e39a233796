"""Starts Redis only where its disk has room, so that it is back as soon as there is some.

With `appendfsync always` a Redis that can't write its file ends: it can't take back what it was
about to answer. Started again on a disk that is still full it would end again and again, and
supervisord would wait longer each time, and at last give up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from .terminal import say

# What it writes until somebody has had time to make more room.
ROOM_BYTES = 16 << 20
LOOK_AGAIN_SECONDS = 0.5


def run_when_there_is_room(server: Path, *, config: Path, data: Path) -> None:
    """Become the server, keeping this process's id; returns never."""
    if not has_room(data):
        say(f"Redis waits: less than {ROOM_BYTES >> 20} MiB are free for {data}.")
        while not has_room(data):
            time.sleep(LOOK_AGAIN_SECONDS)
        say(f"There is room for {data} again, Redis starts.")
    os.execv(server, [str(server), str(config)])


def has_room(data: Path) -> bool:
    disk = os.statvfs(data)
    return disk.f_bavail * disk.f_frsize >= ROOM_BYTES
