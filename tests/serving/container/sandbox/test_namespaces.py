"""A model's code can't make itself root of namespaces of its own; threads and programs start."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from serving.container.sandbox.confined import Confinement, confined_command
from tests.serving.container.test_command_line import ROOT

# By the numbers of their calls: unshare(), clone() and clone3() that asks for a user namespace.
NUMBERS = {"x86_64": (272, 56), "aarch64": (97, 220)}
PROGRAM = """
import ctypes, json, os, subprocess, sys, threading

NEW_USER, CHILD_ENDED = 0x10000000, 17
libc = ctypes.CDLL(None)
unshare, clone = map(int, sys.argv[1:])
arguments = (ctypes.c_uint64 * 8)(NEW_USER, 0, 0, 0, CHILD_ENDED)
calls = {
    "unshare": (unshare, NEW_USER),
    "clone": (clone, NEW_USER | CHILD_ENDED, None, None, None, None),
    "clone3": (435, ctypes.byref(arguments), ctypes.sizeof(arguments)),
}
got = []
for name, call in calls.items():
    if os.fork() == 0:
        os._exit(libc.syscall(*call) >= 0)
    if os.wait()[1]:
        got.append(name)
thread = threading.Thread(target=lambda: got.append("thread"))
thread.start()
thread.join()
got.append(subprocess.run(["echo", "program"], capture_output=True, text=True).stdout.strip())
print(json.dumps(got))
"""
HARMLESS = ["thread", "program"]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in NUMBERS, reason="filters of system calls"
)


def granted(folder: Path, *, command: list[str]) -> list[str]:
    numbers = map(str, NUMBERS[platform.machine()])
    program = folder / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [*command, str(program), *numbers],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_program_gets_them_where_it_is_not_confined(tmp_path: Path) -> None:
    got = granted(tmp_path, command=[sys.executable])
    if "unshare" not in got:
        pytest.skip("this machine lets nobody have user namespaces")
    assert got == ["unshare", "clone", "clone3", *HARMLESS]


@pytest.mark.parametrize("sockets", [False, True])
def test_a_confined_one_gets_none(tmp_path: Path, sockets: bool) -> None:
    command = confined_command(
        [str(Path(sys.executable).resolve())], Confinement(write=[tmp_path], sockets=sockets)
    )
    assert granted(tmp_path, command=command) == HARMLESS
