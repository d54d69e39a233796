"""Tries a version out in a process that is thrown away, before anything depends on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.specs import VersionSpec
from serving.cluster.lifeline import __name__ as lifeline_module
from serving.container.limits import THREAD_VARIABLES

TIME_LIMIT_S = 120.0
POLL_S = 1.0
# A model under test learns nothing of this system's secrets.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH")
# Whoever is serving on this machine goes first.
LOW_PRIORITY = ("nice", "-n", "10")
ROOT = Path(__file__).resolve().parent.parent.parent


class Aborted(Exception):
    """The validation was given up without a verdict; `meanwhile` raises it."""


def find_fault(
    version: VersionSpec,
    *,
    artifact: Path,
    time_limit_s: float = TIME_LIMIT_S,
    meanwhile: Callable[[], object] = lambda: None,
) -> str | None:
    """Return why the version can't be served, None if it can.

    Calls `meanwhile` each second; what that raises ends the process under test.
    """
    deadline = time.monotonic() + time_limit_s
    command = _command(version, artifact=artifact)
    with _started(command, threads=version.threads) as process:
        while True:
            try:
                output, _ = process.communicate(timeout=POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() >= deadline:
                    return f"the model did not load and answer within {time_limit_s:g} s"
                meanwhile()
            else:
                return _verdict(output, code=process.returncode, version=version)


@contextmanager
def _started(command: list[str], *, threads: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command as long as the block lasts, at most; what it leaves in TMPDIR goes with it."""
    known = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    known |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    with (
        tempfile.TemporaryDirectory(prefix="clipper-check-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=known | {"TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _command(version: VersionSpec, *, artifact: Path) -> list[str]:
    command = [*LOW_PRIORITY, sys.executable, "-m", lifeline_module, "serving.container", "check"]
    command += ["--runtime", version.runtime, "--artifact", str(artifact)]
    command += ["--sha256", version.digest, "--input-type", version.input_type]
    command += ["--threads", str(version.threads)]
    if version.memory_limit_mb is not None:
        command += ["--memory-limit-mb", str(version.memory_limit_mb)]
    if version.allow_pickle:
        command.append("--allow-pickle")
    return command


def _verdict(output: bytes, *, code: int, version: VersionSpec) -> str | None:
    try:
        last = json.loads(output.strip().rpartition(b"\n")[2])
        return None if last["ok"] else str(last["error"])
    except (ValueError, KeyError, TypeError):
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        # Code that isn't Python may end its process where it is refused memory.
        limit = version.memory_limit_mb
        limited = "" if limit is None else f" (its memory limit is {limit} MiB)"
        return f"the process that tried the model out ended with {end} and said nothing{limited}"
