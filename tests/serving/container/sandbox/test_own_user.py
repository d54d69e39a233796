"""If the stack runs as root each model gets a user that nobody else is, and works as that."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.container.sandbox.confined import Confinement, confined_command
from serving.container.sandbox.own_user import FIRST_USER
from tests.serving.container.artifacts import ROOT
from tests.serving.container.sandbox.confined_programs import run_confined

PROGRAM = r"""
import getpass, json, os, shutil, sys
from pathlib import Path

own, package = map(Path, sys.argv[1:])
(own / "written").write_text("")
(own / "program").write_text("#!/bin/sh\necho runs")
(own / "program").chmod(0o700)
shutil.copytree(own / "folder", own / "copied")
with open("/dev/stderr", "w") as errors:
    errors.write("said")
print(json.dumps({
    "user": os.getuid(),
    "is_all": len({*os.getresuid(), *os.getresgid()}) == 1,
    "groups": 0 in os.getgroups(),
    "owner": (own / "given").stat().st_uid,
    "name": getpass.getuser(),
    "reads": bool(package.read_bytes()) and os.access(package, os.R_OK),
    "program": os.popen(str(own / "program")).read().strip(),
}))
"""
# Starts a program that ends with it, says its number and waits.
PARENT = """
import subprocess, sys, time
from serving.container.child.kill import set_parent_death_signal

child = subprocess.Popen(
    sys.argv[1:], stdout=subprocess.PIPE, preexec_fn=set_parent_death_signal, process_group=0
)
print(child.pid, child.stdout.readline().decode(), flush=True)
time.sleep(600)
"""
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root may become another user"
)


def folders(folder: Path) -> tuple[Path, Path]:
    """One with files of a model, and a package that only root may read."""
    own, package = folder / "own", folder / "secret" / "package"
    for each in (own, package.parent):
        each.mkdir(mode=0o700)
    (own / "given").write_text("")
    (own / "folder").mkdir()
    package.write_text("code")
    package.chmod(0o600)
    return own, package


def run(folder: Path) -> tuple[dict[str, Any], str]:
    own, package = folders(folder)
    program = [sys.executable, "-c", PROGRAM, own, package]
    done = run_confined(program, Confinement(write=[own], read=[package]))
    said: dict[str, Any] = json.loads(done.stdout)
    return said, done.stderr


def test_it_has_a_user_a_folder_and_what_it_has_to_read(tmp_path: Path) -> None:
    found, errors = run(tmp_path)
    user = found.pop("user")
    assert user >= FIRST_USER
    assert found.pop("owner") == user
    assert found == {
        "is_all": True,
        "groups": False,
        "name": "model",
        "reads": True,
        "program": "runs",
    }
    assert errors == "said"


def test_it_stays_root_where_its_parent_could_not_follow_it(tmp_path: Path) -> None:
    """As in a container by default: the memory of another user's process can't be counted."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("nothing takes a capability away here")
    own = tmp_path / "own"
    own.mkdir()
    by = [setpriv, "--bounding-set=-sys_ptrace"]
    done = run_confined(["/usr/bin/id", "-u"], Confinement(write=[own]), by=by)
    assert done.stdout == "0\n"


def test_it_still_ends_with_its_parent(tmp_path: Path) -> None:
    program = ["/bin/sh", "-c", "echo up; exec sleep 600"]
    command = [
        sys.executable,
        "-c",
        PARENT,
        *confined_command(program, Confinement(write=[tmp_path])),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline().split()[0]))
        assert child.uids().real >= FIRST_USER
        parent.send_signal(signal.SIGKILL)
        child.wait(30)
