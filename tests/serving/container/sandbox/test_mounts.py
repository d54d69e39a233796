"""A model has mounts of its own: what it keeps in shared memory ends with it, and is bounded."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from serving.container.sandbox.confined import OURS, Confinement, confined_command
from serving.container.sandbox.mounts import SHARED_MEMORY, used_bytes
from tests.serving.container.test_command_line import ROOT

NEW_USER = 0x10000000
# Says what it could do, and then waits with its shared memory.
PROGRAM = """
import json, os, socket, sys

def attempt(action):
    try:
        return action() or "done"
    except OSError as error:
        return error.strerror

def connect():
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(sys.argv[1])

def fill():
    with open("/dev/shm/clipper-test", "wb", buffering=0) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))

print(json.dumps({
    "found": os.listdir("/dev/shm"),
    "fill": attempt(fill),
    "connect": attempt(connect),
    "memfd": attempt(lambda: os.memfd_create("x") * 0),
    "read": open(sys.argv[2]).read(),
    "write": attempt(lambda: open(sys.argv[3], "w").write("kept") * 0),
}), flush=True)
sys.stdin.read()
"""


def _can_mount() -> bool:
    look = f"import ctypes; exit(ctypes.CDLL(None).unshare({NEW_USER}))"
    alone = subprocess.run([sys.executable, "-c", look], check=False)
    return sys.platform == "linux" and (os.geteuid() == 0 or alone.returncode == 0)


pytestmark = pytest.mark.skipif(not _can_mount(), reason="takes the right to mount")


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stack's folder with a socket of the stack, an artifact and a model's own folder."""
    for name in ("run", "own", "artifacts"):
        (tmp_path / name).mkdir()
    (tmp_path / "artifacts" / "mine").write_text("content")
    (tmp_path / "artifacts" / "other").write_text("secret")
    for name, path in zip(OURS, (tmp_path, tmp_path / "run"), strict=True):
        monkeypatch.setenv(name, str(path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "run" / "s"))
        listening.listen()
        yield tmp_path


def run(var: Path, *, by: Sequence[str] = (), modes: bool = False) -> dict[str, object]:
    """Run the program confined, and return what it said, and what its shared memory then took."""
    given = [var / "run" / "s", var / "artifacts" / "mine", var / "own" / "written"]
    command = confined_command(
        [str(Path(sys.executable).resolve()), "-c", PROGRAM, *map(str, given)],
        Confinement(
            write=[var / "own"],
            read=[var / "artifacts" / "mine"],
            sockets=True,
            shared_mb=32,
            modes=modes,
            keeps_user=modes,
        ),
    )
    with subprocess.Popen(
        [*by, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said: dict[str, object] = json.loads(process.stdout.readline())
        return said | {"used": used_bytes(process.pid)}


def test_it_keeps_nothing_outside_and_reaches_no_socket_of_the_stack(var: Path) -> None:
    assert run(var) == {
        "found": [],
        "fill": "No space left on device",
        "connect": "No such file or directory",
        "memfd": "Function not implemented",
        "read": "content",
        "write": "done",
        "used": 32 << 20,
    }
    assert (var / "own" / "written").read_text() == "kept"
    assert not (SHARED_MEMORY / "clipper-test").exists()
    assert (var / "artifacts" / "other").read_text() == "secret"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up what root may")
def test_nor_does_an_ordinary_user_s(var: Path) -> None:
    """Without root's right to mount it takes a user namespace, as for any other user."""
    drops = "ctypes.CDLL(None).prctl(24, 21); os.execv(sys.argv[1], sys.argv[1:])"
    said = run(var, by=[sys.executable, "-c", f"import ctypes, os, sys; {drops}"])
    assert said["fill"] == "No space left on device"
    assert said["connect"] == "No such file or directory"
    assert said["write"] == "done"


def test_a_build_links_between_folders_and_has_none(var: Path) -> None:
    said = run(var, modes=True)
    assert said["connect"] == "done"
    (SHARED_MEMORY / "clipper-test").unlink()
