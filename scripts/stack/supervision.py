"""supervisord as the launcher's child, and `manage.py` commands beside it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import StackError
from .layout import ROOT, Layout
from .processes import dying_with_its_parent, note_session

CONFIG = ROOT / "supervisord.conf"
PROGRAM = ROOT / "scripts" / "run_supervisord.py"
# The programs' stopwaitsecs added up, and a little: they stop one after the other.
STOP_SECONDS = 280.0
COMMAND_STOP_SECONDS = 5.0
TAIL_LINES = 12


@contextmanager
def supervisord(
    layout: Layout, *, environment: Mapping[str, str], listening: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs while the block does; afterwards it and all its programs have ended.

    It inherits `listening`, a descriptor for one of its programs.
    """
    with (layout.logs / "supervisord.err").open("ab") as errors:
        arguments = [str(PROGRAM), "-c", str(CONFIG)]
        child = _start(arguments, environment=environment, output=errors, pass_fds=[listening])
    note_session(layout.var, leader=child.pid)
    try:
        yield child
    finally:
        end(child, seconds=STOP_SECONDS)


def _start(
    arguments: list[str],
    *,
    environment: Mapping[str, str],
    output: IO[bytes] | None = None,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """A Python of ours in a session of its own: Ctrl-C reaches the launcher alone."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=dying_with_its_parent(),
    )


def end(child: subprocess.Popen[bytes] | subprocess.Popen[str], *, seconds: float) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def told_by(*arguments: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that a `manage.py` command prints; where it fails, what it says is raised."""
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            preexec_fn=dying_with_its_parent(),
        )
        assert child.stdout is not None
        try:
            for line in child.stdout:
                yield line.rstrip()
            status = child.wait()
        finally:
            end(child, seconds=COMMAND_STOP_SECONDS)
            child.stdout.close()
        if status != 0:
            errors.seek(0)
            words = errors.read().strip().removeprefix("CommandError: ")
            raise StackError(words or f"manage.py {arguments[0]} failed with exit code {status}.")


def manage(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run a `manage.py` command in view of the person; a failing one is a StackError."""
    child = _start(["manage.py", *arguments], environment=environment)
    try:
        status = child.wait()
    finally:
        end(child, seconds=COMMAND_STOP_SECONDS)
    if status != 0:
        raise StackError(f"manage.py {arguments[0]} failed with exit code {status}; see above.")


def report(layout: Layout, *, environment: Mapping[str, str]) -> str:
    """Each program's state and the last lines of each log, for a start that failed."""
    states = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(CONFIG), "status"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    ).stdout
    tails = [_tail(file) for file in sorted(layout.logs.glob("*.log")) if file.stat().st_size]
    return "\n".join([states.rstrip(), *tails])


def _tail(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"--- {file}", *lines])
