"""Processes of a stack are found by their mark and ended, however they resist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clipper_site.stack.layout import ROOT
from clipper_site.stack.processes import MARK, end_all, orphans_of, processes_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
WITH_A_CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""

Starter = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    started: list[subprocess.Popen[str]] = []

    def start_marked(program: str, *, var: Path = tmp_path) -> subprocess.Popen[str]:
        """Runs once its first line came."""
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, MARK: str(var)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(child)
        return child

    yield start_marked
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def first_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_only_the_stack_s_own_are_found(start: Starter, tmp_path: Path) -> None:
    ours, other = start(SLEEP), start(SLEEP, var=tmp_path / "other")
    first_line(ours), first_line(other)

    assert processes_of(tmp_path) == [ours.pid]


def test_a_polite_process_is_ended_without_force(start: Starter, tmp_path: Path) -> None:
    child = start(SLEEP)
    first_line(child)
    ended = end_all(lambda: processes_of(tmp_path), grace_seconds=20)

    assert (ended.found, ended.killed, ended.left) == (
        frozenset({child.pid}),
        frozenset(),
        frozenset(),
    )
    assert child.wait(5) == -signal.SIGTERM


def test_a_stubborn_process_is_killed_and_reported(start: Starter, tmp_path: Path) -> None:
    child = start(STUBBORN)
    first_line(child)
    ended = end_all(lambda: processes_of(tmp_path), grace_seconds=0.3)

    assert (ended.killed, ended.left) == (frozenset({child.pid}), frozenset())
    assert child.wait(5) == -signal.SIGKILL


def test_nothing_there_is_nothing_done(tmp_path: Path) -> None:
    assert not end_all(lambda: processes_of(tmp_path), grace_seconds=20).found


def test_children_of_a_killed_program_are_orphans(start: Starter, tmp_path: Path) -> None:
    program = start(WITH_A_CHILD)
    child = int(first_line(program))
    assert orphans_of(tmp_path) == []

    program.kill()
    program.wait()
    assert orphans_of(tmp_path) == [child]
    assert not end_all(lambda: orphans_of(tmp_path), grace_seconds=20).left


def test_a_child_dies_with_a_killed_launcher(start: Starter, tmp_path: Path) -> None:
    launcher = start(f"""
import subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from clipper_site.stack.processes import dying_with_its_parent
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], preexec_fn=dying_with_its_parent())
print(child.pid, flush=True)
child.wait()
""")
    first_line(launcher)
    launcher.kill()
    launcher.wait()

    deadline = time.monotonic() + 20
    while processes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_who_ends_orphans_loads_nothing_for_it_but_what_finds_them() -> None:
    """It lives as long as the stack, and each module takes memory."""
    look = "import sys, clipper_site.stack.processes; "
    look += "print(*(n for n in sys.modules if 'stack.' in n))"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert set(done.stdout.split()) == {"clipper_site.stack.processes"}
