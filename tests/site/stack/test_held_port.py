"""The stack's port is taken from its start to its end, whatever happens to who answers there."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clipper_site import ROOT
from clipper_site.stack.layout import free_port, held_port
from tests.serving.master import served
from tests.serving.master.served import BEHAVIOUR

KILLS = 3
CONFIG = f"""
[supervisord]
nodaemon = true
silent = true
logfile = {{run}}/supervisord.log
pidfile = {{run}}/supervisord.pid
minfds = 128

[program:predict]
command = {sys.executable} -m serving.master predict --listen http=fd:{{listening}} -- {{served}}
autorestart = true
startsecs = 0
startretries = 100
stdout_logfile = NONE
stderr_logfile = NONE
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """One that a supervisord's master answers at."""
    chosen = free_port()
    config = tmp_path / "supervisord.conf"
    (tmp_path / "behaviour").write_text("well")
    with held_port("127.0.0.1", port=chosen) as listening:
        command = f"{sys.executable} -m {served.__name__}"
        config.write_text(CONFIG.format(run=tmp_path, listening=listening, served=command))
        supervisord = subprocess.Popen(
            [sys.executable, "-m", "clipper_site.stack.supervisord", "-c", str(config)],
            cwd=ROOT,
            env=os.environ | {BEHAVIOUR: str(tmp_path / "behaviour")},
            pass_fds=[listening],
        )
    try:  # from here on this process holds nothing
        yield chosen
    finally:
        supervisord.terminate()
        supervisord.wait(timeout=60)


@contextmanager
def binding(port: int) -> Iterator[list[int]]:
    """Try to bind a port all the time, as a model would; yields the errors that came."""
    over = threading.Event()
    errors: list[int] = []

    def bind() -> None:
        while not over.is_set():
            with socket.socket() as thief:
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    thief.bind(("127.0.0.1", port))
                    thief.listen()
                    errors.append(0)
                except OSError as error:
                    errors.append(error.errno or -1)

    thread = threading.Thread(target=bind)
    thread.start()
    try:
        yield errors
    finally:
        over.set()
        thread.join()


def answer(port: int) -> int:
    """Return the process that answers; a connection waits for the next one meanwhile."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                if said := connection.recv(64):
                    return int(said)
        except ConnectionError:  # who had taken it was killed, or the first one only starts
            assert time.monotonic() < deadline
            time.sleep(0.02)


def master_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nobody_can_bind_the_port_while_masters_are_killed(port: int) -> None:
    answer(port)
    with binding(port) as errors:
        for _ in range(KILLS):
            process = answer(port)
            os.kill(master_of(process), signal.SIGKILL)
            os.kill(process, signal.SIGKILL)
            while answer(port) == process:
                pass
    assert set(errors) == {errno.EADDRINUSE}


def test_a_master_that_was_stopped_refuses_connections_and_leaves_the_port_to_the_next(
    tmp_path: Path,
) -> None:
    chosen = free_port()
    (tmp_path / "behaviour").write_text("well")

    def start(listening: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "serving.master", "predict"),
                *(f"--listen=http=fd:{listening}", "--", sys.executable, "-m", served.__name__),
            ],
            cwd=ROOT,
            env=os.environ | {BEHAVIOUR: str(tmp_path / "behaviour")},
            pass_fds=[listening],
        )

    with held_port("127.0.0.1", port=chosen) as listening:
        for _ in range(2):
            master = start(listening)
            try:
                answer(chosen)
            finally:
                master.terminate()
                master.wait(timeout=60)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", chosen), timeout=60)
            with binding(chosen) as errors:
                while not errors:
                    time.sleep(0.01)
            assert set(errors) == {errno.EADDRINUSE}
