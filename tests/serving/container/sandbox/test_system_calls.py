"""A confined program gets no namespaces, signals no groups and sets no options of sockets."""

import json
import platform
from pathlib import Path

import pytest

from serving.container.sandbox.confined import MOST_DESCRIPTORS, Confinement
from tests.serving.container.artifacts import run_python
from tests.serving.container.sandbox.confined_programs import PYTHON, filtered, run_confined

pytestmark = filtered
# timeout() makes a group of its own, of which it signals all once the time is over.
SIGNALS_GROUPS = """
import os, signal, subprocess, sys

print(subprocess.run(["timeout", "0.1", "sleep", "600"]).returncode)
helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
for group in (0, os.getpgid(helper.pid), helper.pid):
    try:
        os.killpg(group, signal.SIGTERM)
    except PermissionError:
        print("refused")
os.kill(helper.pid, signal.SIGTERM)
print(helper.wait())
"""
# By the numbers of their calls: unshare(), clone() and clone3() that asks for a user namespace.
NUMBERS = {"x86_64": (272, 56), "aarch64": (97, 220)}
TAKES_NAMESPACES = """
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
SETS_OPTIONS = """
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


def test_a_signal_to_a_group_is_refused_and_one_to_a_process_arrives(tmp_path: Path) -> None:
    program = [PYTHON, "-c", SIGNALS_GROUPS]
    done = run_confined(program, Confinement(write=[tmp_path]), process_group=0)
    assert done.stdout.split() == ["124", "refused", "refused", "refused", "-15"], done.stderr


def test_a_program_that_is_not_confined_gets_namespaces() -> None:
    got = json.loads(run_python(TAKES_NAMESPACES, *NUMBERS[platform.machine()]).stdout)
    if "unshare" not in got:
        pytest.skip("this machine lets nobody have user namespaces")
    assert got == ["unshare", "clone", "clone3", *HARMLESS]


@pytest.mark.parametrize("sockets", [False, True])
def test_a_confined_one_gets_none(tmp_path: Path, sockets: bool) -> None:
    program = [PYTHON, "-c", TAKES_NAMESPACES, *NUMBERS[platform.machine()]]
    done = run_confined(program, Confinement(write=[tmp_path], sockets=sockets))
    assert json.loads(done.stdout) == HARMLESS


def test_it_has_bounded_buffers_lingers_not_and_ends_with_its_parent(tmp_path: Path) -> None:
    done = run_confined([PYTHON, "-c", SETS_OPTIONS], Confinement(write=[tmp_path]))
    *kept, descriptors = done.stdout.split()
    assert kept == ["True"] * 3
    assert int(descriptors) <= MOST_DESCRIPTORS
