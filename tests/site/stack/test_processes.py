"""Processes of a stack are found by their mark and ended, however they resist."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from clipper_site import ROOT
from clipper_site.stack.processes import MARK, end_all, note_session, orphans_of, processes_of
from tests.interpreter import run_python

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


@pytest.mark.parametrize(
    ("program", "grace_s", "signal_number"),
    [(SLEEP, 20.0, signal.SIGTERM), (STUBBORN, 0.3, signal.SIGKILL)],
)
def test_a_process_is_ended_and_killed_only_if_it_resists(
    start: Starter, tmp_path: Path, program: str, grace_s: float, signal_number: signal.Signals
) -> None:
    child = start(program)
    first_line(child)
    ended = end_all(lambda: processes_of(tmp_path), grace_seconds=grace_s)

    assert (ended.found, ended.left) == (frozenset({child.pid}), frozenset())
    assert bool(ended.killed) == (signal_number == signal.SIGKILL)
    assert child.wait(5) == -signal_number


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


PAYLOAD = "processname:predict groupname:predict from_state:RUNNING expected:0 pid:7"
EVENT = f"ver:3.0 server:clipper serial:1 pool:orphans poolserial:1 len:{len(PAYLOAD)}"
EVENT += f" eventname:PROCESS_STATE_EXITED\n{PAYLOAD}"


def test_each_event_is_acknowledged_and_the_next_one_awaited(tmp_path: Path) -> None:
    environment = os.environ | {"CLIPPER_VAR": str(tmp_path)}
    module = "clipper_site.stack.processes"
    done = run_python("-m", module, env=environment, input=EVENT * 2, start_new_session=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"


# As supervisord it leads a session, in which it starts a program and the listener. The program's
# child leads a group of its own, as a model does, and leaves a process in it.
LEADER = """
import os, subprocess, sys, time
model = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); input()"
bare = {"PATH": os.environ["PATH"]}
model = subprocess.Popen(
    [sys.executable, "-c", model], env=bare, process_group=0, stdin=-1, stdout=-1, text=True
)
left = model.stdout.readline().strip()
stranger = subprocess.Popen(["sleep", "600"], env=bare, start_new_session=True)
living = subprocess.Popen(["sleep", "600"], env=bare, process_group=0)
model.kill()
model.wait()
print(left, stranger.pid, living.pid, flush=True)
event = sys.argv[2]
subprocess.run([sys.executable, "-m", sys.argv[1]], input=event, text=True, stdout=-3)
print("done", flush=True)
time.sleep(600)
"""


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", LEADER, "clipper_site.stack.processes", EVENT],
        cwd=ROOT,
        env={**os.environ, "CLIPPER_VAR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield started
    started.kill()
    started.wait()
    assert started.stdout is not None
    started.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_model_left_without_the_stack_s_environment_is_ended(
    leader: subprocess.Popen[str],
) -> None:
    assert leader.stdout is not None
    left, stranger, living = map(int, leader.stdout.readline().split())
    try:
        assert leader.stdout.readline() == "done\n"
        assert not _lives(left)
        assert _lives(stranger)
        assert _lives(living)
    finally:
        for pid in (left, stranger, living):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_next_start_finds_the_models_of_a_killed_supervisord(tmp_path: Path) -> None:
    """A confined process can't be taken for a stranger's, whose number is that of the session."""
    confined = """
import ctypes, os, time
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
os.fork() or os._exit(0)
time.sleep(600)  # its child has ended and waits to be reaped
"""
    program = f"""
import subprocess, sys, time
for code in ({confined!r}, "import time; time.sleep(600)"):
    print(subprocess.Popen([sys.executable, "-c", code], process_group=0).pid, flush=True)
time.sleep(600)
"""
    supervisord = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert supervisord.stdout is not None
    model, unmarked = (int(supervisord.stdout.readline()) for _ in range(2))
    try:
        note_session(tmp_path, leader=supervisord.pid)
        deadline = time.monotonic() + 60
        while not any(
            child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process(model).children()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert processes_of(tmp_path) == []  # the number is another's, for all that is known

        supervisord.kill()
        supervisord.wait()
        assert processes_of(tmp_path) == [model]
    finally:
        for pid in (supervisord.pid, model, unmarked):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        supervisord.wait()
        supervisord.stdout.close()


def _lives(pid: int) -> bool:
    """Return whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
