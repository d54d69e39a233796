"""Runs programs confined, as a replica's process starts them."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from serving.container.sandbox.confined import Confinement, confined_command, scrubbed_environment
from tests.serving.container.artifacts import ROOT

PYTHON = str(Path(sys.executable).resolve())
filtered = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="filters of system calls",
)


def run_confined(
    program: Sequence[object],
    confinement: Confinement,
    *,
    by: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    process_group: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, by way of the command `by`; it has to succeed."""
    home = Path(confinement.write[0])
    done = subprocess.run(
        [*by, *confined_command([str(part) for part in program], confinement)],
        cwd=ROOT,
        env=env or scrubbed_environment(os.environ, home=home),
        process_group=process_group,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
