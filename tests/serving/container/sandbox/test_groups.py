"""A model's code can't end itself by a signal that it means for a group of its helper's."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from serving.container.sandbox.confined import Confinement, confined_command
from tests.serving.container.test_command_line import ROOT

# timeout() makes a group of its own, of which it signals all once the time is over.
PROGRAM = """
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
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="filters of system calls",
)


def test_a_signal_to_a_group_is_refused_and_one_to_a_process_arrives(tmp_path: Path) -> None:
    program = [str(Path(sys.executable).resolve()), "-c", PROGRAM]
    done = subprocess.run(
        confined_command(program, Confinement(write=[tmp_path])),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        process_group=0,
    )
    assert done.stdout.split() == ["124", "refused", "refused", "refused", "-15"], done.stderr
