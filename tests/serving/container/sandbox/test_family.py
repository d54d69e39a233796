"""The processes of a model are all in its group: also those whose parent has ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from serving.container.sandbox.family import (
    MOST_PROCESSES,
    MOST_SOCKETS,
    crowd_of,
    end_groups,
    family_of,
    groups_of,
    held_bytes,
    read_processes,
    shared_once_bytes,
)
from serving.container.sandbox.limits import usage_of
from tests.serving.cluster.wait_until import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1 << 20
# Two orphans hold 60 MiB each, after which their grandparent says so.
ORPHANS = """
import os, sys, time
read, write = os.pipe()
for _ in range(2):
    if (pid := os.fork()) == 0:
        if os.fork() == 0:
            held = bytearray(60 << 20)
            os.write(write, b"1")
            time.sleep(600)
        os._exit(0)
    os.waitpid(pid, 0)
os.read(read, 1), os.read(read, 1)
print("up", flush=True)
time.sleep(600)
"""
# Four children and their parent share 60 MiB, all of which each has touched.
SHARERS = """
import mmap, os, time
shared = mmap.mmap(-1, 60 << 20)
read, write = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        shared[::4096] = bytes(len(shared) // 4096)
        os.write(write, b"1")
        time.sleep(600)
shared[::4096] = bytes(len(shared) // 4096)
for _ in range(4): os.read(read, 1)
print("up", flush=True)
time.sleep(600)
"""
MANY = f"""
import os, time
for _ in range({MOST_PROCESSES}):
    if os.fork() == 0: time.sleep(600)
print("up", flush=True)
time.sleep(600)
"""
# The first thread ends, another one holds 60 MiB.
HEADLESS = """
import ctypes, threading, time
def hold():
    held = bytearray(60 << 20)
    print("up", flush=True)
    time.sleep(600)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[__import__("platform").machine()], 0)
"""
SOCKETS = f"""
import socket, time
held = [socket.socketpair() for _ in range({MOST_SOCKETS} // 2 + 1)]
print("up", flush=True)
time.sleep(600)
"""


@contextmanager
def running(program: str) -> Iterator[int]:
    """A process that leads a group of its own and has said that it is up."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, process_group=0
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"up\n"
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_orphans_count_and_end_with_their_group() -> None:
    with running(ORPHANS) as pid:
        processes = read_processes()
        family = family_of([pid], processes)
        assert len(family) == 3
        assert held_bytes(family) > 120 * MIB
        assert os.getpid() not in family
        end_groups(groups_of(family, processes))
        wait_for(lambda: not family & read_processes().keys(), what="all have ended")


def test_shared_memory_counts_once() -> None:
    with running(SHARERS) as pid:
        family = family_of([pid], read_processes())
        assert held_bytes(family) > 300 * MIB
        # Its own share of what it shares with its children counts in full.
        assert 60 * MIB < shared_once_bytes([pid], family) < 160 * MIB
        taken, fault = usage_of([pid], read_processes(), base_bytes=MIB, limit_mb=200)
        assert fault == ""
        assert 60 * MIB < taken < 160 * MIB
        assert usage_of([pid], read_processes(), base_bytes=0, limit_mb=50)[1]


def test_too_many_processes_are_told() -> None:
    with running(MANY) as pid:
        processes = read_processes()
        family = family_of([pid], processes)
        assert len(family) == MOST_PROCESSES + 1
        assert str(MOST_PROCESSES) in crowd_of(family, processes)
        assert crowd_of(set(list(family)[1:]), processes) == ""


def test_a_process_without_its_first_thread_counts() -> None:
    with running(HEADLESS) as pid:
        wait_for(lambda: _state(pid) == "Z", what="the first thread has ended")
        family = family_of([pid], read_processes())
        assert family == {pid}
        assert held_bytes(family) > 60 * MIB
        assert shared_once_bytes([0], family) > 60 * MIB


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_too_many_sockets_are_told() -> None:
    with running(SOCKETS) as pid:
        processes = read_processes()
        assert str(MOST_SOCKETS) in crowd_of(family_of([pid], processes), processes)


def test_a_process_of_another_session_is_known_and_in_no_family() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        processes = read_processes()
        process.kill()
    assert process.pid in processes
    assert process.pid not in family_of([os.getpid()], processes)
