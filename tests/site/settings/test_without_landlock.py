"""Without Landlock the checks say so, and models are confined by what is left."""

import sys
from pathlib import Path

import pytest

from serving.container.sandbox.confined import Confinement, confined_command, has_landlock
from tests.site import manage

pytestmark = pytest.mark.skipif(not has_landlock(), reason="nothing to take away here")

# Runs a program for which the kernel has no Landlock: its first call doesn't exist.
WITHOUT = """
import ctypes, os, sys
from serving.container.sandbox import syscalls

libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
steps = [
    (syscalls.LOAD, 0, 0, syscalls.NUMBER_AT),
    (syscalls.EQUAL, 0, 1, 444),
    (syscalls.RETURN, 0, 0, syscalls.UNKNOWN),
    (syscalls.RETURN, 0, 0, syscalls.ALLOW),
]
assert syscalls.install(libc, steps)
os.execv(sys.argv[1], sys.argv[1:])
"""
OPENS_A_SOCKET = """
import socket
try:
    socket.socket(socket.AF_UNIX)
except PermissionError:
    print("refused")
"""


def test_the_deployment_check_says_so_and_does_not_fail_for_it(tmp_path: Path) -> None:
    check = (sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    done = manage.run("-c", WITHOUT, *check, var=tmp_path, CLIPPER_HTTPS="yes")
    assert done.returncode == 0
    assert "(clipper.I004) This kernel has no Landlock" in done.stderr


def test_a_model_s_output_says_so_and_it_opens_no_socket_all_the_same(tmp_path: Path) -> None:
    program = [str(Path(sys.executable).resolve()), "-c", OPENS_A_SOCKET]
    confined = confined_command(program, Confinement(write=[tmp_path]))
    done = manage.run("-c", WITHOUT, *confined, var=tmp_path)
    assert done.stdout == "refused\n", done.stderr
    assert "this kernel has no Landlock: files are not kept from the model" in done.stderr
