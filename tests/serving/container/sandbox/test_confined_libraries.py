"""Libraries in the confinement: their own folder, threads and processes work."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from serving.container.sandbox.confined import PACKAGE, Confinement, has_landlock, readable_paths
from tests.serving.container.artifacts import ROOT
from tests.serving.container.sandbox.confined_programs import run_confined

PROGRAM = """
import asyncio, json, multiprocessing, os, resource, shutil, socket, subprocess, sys, tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib


def double(number, barrier=None):
    return 2 * number


def take(lock, queue):
    with lock:
        queue.put(os.getpid())


def copies():
    source = Path("source")
    source.mkdir()
    (source / "weights").write_text("1")
    shutil.copytree(source, "copied")
    shutil.copy2(source / "weights", "again")
    shutil.copystat(source, "copied")
    return [Path("copied/weights").read_text(), Path("again").read_text()]


def cache():
    # As the Hugging Face hub keeps files: in blobs, with links to them, under locks.
    blobs, snapshot = Path("hub/blobs"), Path("hub/snapshots/main")
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    with tempfile.NamedTemporaryFile(dir=blobs, delete=False) as file:
        file.write(b"weights")
    os.chmod(file.name, 0o644)
    os.replace(file.name, blobs / "abc")
    os.utime(blobs / "abc")
    (snapshot / "model").symlink_to("../../blobs/abc")
    return (snapshot / "model").read_text()


def pool(method):
    context = multiprocessing.get_context(method)
    lock, queue = context.Lock(), context.Queue()
    started = [context.Process(target=take, args=(lock, queue)) for _ in range(2)]
    for process in started:
        process.start()
    numbers = {queue.get() for _ in started}
    for process in started:
        process.join()
    return numbers == {process.pid for process in started}


def threads():
    # As OpenMP does: for a thread by its number, and for the calling one.
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(threading.get_native_id(), cores)
    os.sched_setaffinity(0, {max(cores)})
    kept = os.sched_getaffinity(0) == {max(cores)}
    os.nice(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
    resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
    os.setpriority(os.PRIO_PROCESS, os.getpid(), os.nice(0) + 1)
    return kept


def network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = socket.getaddrinfo("localhost", server.getsockname()[1], type=socket.SOCK_STREAM)
        with socket.create_connection(found[0][4][:2]) as client:
            client.sendall(b"x")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", 0))
    return True


async def loop():
    process = await asyncio.create_subprocess_exec("echo", "said", stdout=subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    print(json.dumps({
        "copies": copies(),
        "cache": cache(),
        "loky": joblib.Parallel(n_jobs=2)(joblib.delayed(double)(n) for n in range(3)),
        "fork": pool("fork"),
        "spawn": pool("spawn"),
        "executor": list(ProcessPoolExecutor(1).map(double, [4])),
        "threads": threads(),
        "network": network(),
        "loop": asyncio.run(loop()),
        "shell": subprocess.run("cat copied/weights | cat", shell=True, capture_output=True,
                                text=True, start_new_session=True).stdout,
    }))
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is confined elsewhere")


def test_what_libraries_do_for_themselves_works(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, tmp_path]
    done = run_confined(command, Confinement(write=[tmp_path]), process_group=0)
    assert json.loads(done.stdout) == {
        "copies": ["1", "1"],
        "cache": "weights",
        "loky": [0, 2, 4],
        "fork": True,
        "spawn": True,
        "executor": [8],
        "threads": True,
        "network": True,
        "loop": "said",
        "shell": "1",
    }


@pytest.mark.parametrize("modes", [False, True])
def test_only_who_installs_programs_makes_them_executable(tmp_path: Path, modes: bool) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh")
    program.chmod(0o600)
    command = ["/bin/chmod", "700", str(program)]
    confinement = Confinement(write=[tmp_path], modes=modes, keeps_user=True)
    run_confined(command, confinement, process_group=0)
    assert program.stat().st_mode & 0o777 == (0o700 if modes else 0o600)


def test_a_folder_on_the_path_that_cannot_be_searched_is_left_out(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0)
    setpriv = shutil.which("setpriv")
    # Root may search all but for this.
    unprivileged = [setpriv, "--bounding-set=-all"] if os.getuid() == 0 and setpriv else []
    path = f"{hidden / 'bin'}:{os.environ['PATH']}"
    done = run_confined(
        ["/bin/echo", "runs"],
        Confinement(write=[tmp_path / "own"]),
        by=unprivileged,
        env=os.environ | {"PATH": path},
    )
    assert done.stdout == "runs\n"


def test_site_packages_are_readable_and_a_checkout_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = PACKAGE.parent.resolve()
    monkeypatch.syspath_prepend(project)
    assert project not in readable_paths(extra=[], hide=[], python=True)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(project))
    assert project in readable_paths(extra=[], hide=[], python=True)
    hidden = project / "serving"
    assert hidden not in readable_paths(extra=[], hide=[hidden], python=True)


# Confines itself as on a kernel whose Landlock is of this version.
OLDER = """
import os, socket, sys
from pathlib import Path
from serving.container.sandbox import confined

def attempt(action):
    try:
        action()
    except PermissionError:
        return "refused"
    return "done"

version, own = int(sys.argv[1]), Path(sys.argv[2])
confined._landlock_version = lambda libc: version
confined.confine(confined.Confinement(write=[own]))
with socket.socket() as peer, socket.socket() as other:
    print(
        attempt(lambda: os.listdir(own.parent)),
        attempt(lambda: (own / "file").write_text("kept")),
        attempt(lambda: os.truncate(own / "file", 0)),
        attempt(lambda: peer.bind(("127.0.0.1", int(sys.argv[3])))),
        attempt(lambda: other.bind(("127.0.0.1", 0))),
    )
"""


@pytest.mark.skipif(not has_landlock(), reason="no Landlock of any version")
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (1, "refused done refused done done"),
        (3, "refused done done done done"),
        (4, "refused done done refused done"),
        (6, "refused done done refused done"),
    ],
)
def test_an_older_landlock_keeps_what_it_can(tmp_path: Path, version: int, expected: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", OLDER, str(version), str(own), str(port)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == expected, done.stderr
