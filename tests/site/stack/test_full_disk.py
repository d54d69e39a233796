"""supervisord and Redis on a disk that is full, and on one that isn't any more."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from clipper_site import ROOT
from clipper_site.stack.redis_server import find_server
from tests.integration.stack import eventually
from tests.small_disk import SmallDisk, small_disk

CONFIG = """
[supervisord]
nodaemon = true
silent = true
loglevel = debug
logfile = {disk}/supervisord.log
logfile_maxbytes = 20KB
logfile_backups = 1
pidfile = {run}/supervisord.pid

[program:talks]
command = sh -c "while echo {line}; do sleep 0.002; done"
stdout_logfile = {disk}/talks.log
stdout_logfile_maxbytes = 20KB
redirect_stderr = true

[program:dies]
command = "{python}" -c "open('{run}/count', 'a').write('x')"
startsecs = 0
autorestart = true
stdout_logfile = NONE
"""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(megabytes=40) as disk:
        yield disk


@pytest.fixture
def run_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="clipper-run-") as folder:
        yield Path(folder)


def size_of(log: Path) -> int:
    """Its bytes, 0 while it is being rotated."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def test_supervisord_outlives_a_full_disk_and_logs_again_afterwards(
    disk: SmallDisk, run_dir: Path
) -> None:
    config = run_dir / "supervisord.conf"
    program = CONFIG.format(disk=disk.path, run=run_dir, python=sys.executable, line="x" * 200)
    config.write_text(program)
    log, talk = disk.path / "supervisord.log", disk.path / "talks.log"
    count = run_dir / "count"
    with (disk.path / "supervisord.err").open("ab") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "clipper_site.stack.supervisord", "-c", str(config)],
            cwd=ROOT,
            stdout=errors,
            stderr=errors,
        )
    try:
        eventually(
            lambda: size_of(count) and size_of(talk),
            seconds=30,
            what="something is logged",
        )
        disk.fill()
        # Each restart is some lines that supervisord can't write.
        restarts = count.stat().st_size
        eventually(
            lambda: child.poll() is not None or count.stat().st_size > restarts + 3,
            seconds=30,
            what="programs are restarted meanwhile",
        )
        assert child.poll() is None
        disk.free()
        before = size_of(log)
        eventually(
            lambda: size_of(log) not in (0, before),
            seconds=30,
            what="it logs again",
        )
        size = size_of(talk)
        eventually(
            lambda: size_of(talk) not in (0, size),
            seconds=30,
            what="a program's lines are logged again",
        )
        assert child.poll() is None
    finally:
        child.terminate()
        child.wait(timeout=20)


def test_redis_waits_for_room_and_has_all_that_it_acknowledged(
    disk: SmallDisk, run_dir: Path
) -> None:
    server = find_server()
    assert server is not None
    socket, config = run_dir / "redis.sock", run_dir / "redis.conf"
    config.write_text(
        f'port 0\nunixsocket "{socket}"\ndir "{disk.path}"\nappendonly yes\n'
        'appendfsync always\nsave ""\n'
    )
    client = redis.Redis(unix_socket_path=str(socket))

    def start() -> subprocess.Popen[bytes]:
        module = (sys.executable, "-m", "clipper_site.stack.redis_server")
        program = [*module, str(server), str(config), str(disk.path)]
        return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    first = start()
    try:
        eventually(answers, seconds=30, what="Redis answers")
        kept = 0
        while kept < 100:
            client.set(f"key:{kept}", os.urandom(8192))
            kept += 1
        disk.fill()
        with contextlib.suppress(redis.RedisError):
            while kept < 10_000:
                client.set(f"key:{kept}", os.urandom(8192))
                kept += 1
        assert first.wait(timeout=20) != 0
    finally:
        first.kill()
        first.communicate()
    second = start()
    try:
        assert second.stdout is not None
        assert b"Redis waits" in second.stdout.readline()
        assert second.poll() is None
        assert not answers()
        disk.free()
        eventually(answers, seconds=30, what="Redis answers again")
        assert client.exists(*(f"key:{number}" for number in range(kept))) == kept
        assert client.set("after", "1")
    finally:
        client.close()
        second.kill()
        second.communicate()
