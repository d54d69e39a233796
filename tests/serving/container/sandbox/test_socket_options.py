"""A confined program can't enlarge buffers of sockets, have them linger, or outlive its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.container.sandbox.confined import (
    MOST_DESCRIPTORS,
    Confinement,
    confined_command,
    scrubbed_environment,
)
from tests.serving.container.test_command_line import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs seccomp")

PROGRAM = """
import ctypes, resource, socket, struct
libc = ctypes.CDLL(None)
one, other = socket.socketpair()
before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, before // 4)
print(before == one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
tcp = socket.socket()
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 15))
print(tcp.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == bytes(8))
number = ctypes.c_int()
for wanted in (9, 0, 17):
    libc.prctl(1, wanted, 0, 0, 0)
libc.prctl(2, ctypes.byref(number))
print(number.value == 9)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""


def test_what_would_hold_the_host_up_does_nothing(tmp_path: Path) -> None:
    command = confined_command([sys.executable, "-c", PROGRAM], Confinement(write=[tmp_path]))
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=scrubbed_environment(os.environ, home=tmp_path) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *kept, descriptors = done.stdout.split()
    assert kept == ["True"] * 3
    assert int(descriptors) <= MOST_DESCRIPTORS
