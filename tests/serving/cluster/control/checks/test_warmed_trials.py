"""A check that is forked from a process which has imported what it needs is like any other."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from core.specs import VersionSpec
from serving.cluster.control import trial_process
from serving.cluster.control.trial import Aborted, Trial, try_out
from serving.cluster.control.trial_process import (
    ExecutedTrial,
    ForkedTrial,
    TrialProgram,
    WarmedParents,
)
from serving.cluster.loading import load_spec
from serving.container.dying import set_parent_death_signal
from serving.testing import version_spec
from tests.processes import command_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="no pidfd elsewhere"),
    pytest.mark.timeout(400),
]
# Standing for a model's own code: they are pickled by reference to here, and so run in the check.
SECONDS = 150.0


class Pickled(LinearRegression):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator that runs code as soon as it is read."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, (self.code,)


@pytest.fixture(scope="module")
def parents() -> Iterator[WarmedParents]:
    found = WarmedParents()
    yield found
    found.end()


def a_model(folder: Path, *, fitted: bool = True) -> tuple[VersionSpec, Path]:
    model = LinearRegression()
    if fitted:
        model.fit(np.arange(6.0).reshape(3, 2), [0.0, 1.0, 2.0])
    artifact = folder / "model.skops"
    artifact.write_bytes(skops.io.dumps(model))
    return of(artifact), artifact


def code_of(folder: Path, code: str) -> tuple[VersionSpec, Path]:
    """A pickle that runs this code when it is read."""
    artifact = folder / "model.joblib"
    joblib.dump(Pickled(code), artifact)
    return replace(of(artifact), allow_pickle=True), artifact


def of(artifact: Path) -> VersionSpec:
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return version_spec(model="linear", runtime="sklearn", digest=digest)


def forked(made: tuple[VersionSpec, Path], parents: WarmedParents, **more: object) -> Trial:
    version, artifact = made
    return try_out(version, artifact=artifact, parents=parents, **more)  # type: ignore[arg-type]


def the_parents() -> list[psutil.Process]:
    """Those that this process has started."""
    return [
        process
        for process in psutil.Process().children()
        if "serving.container.warmed" in command_of(process)
    ]


def told_by(code: str, folder: Path, parents: WarmedParents) -> str:
    """What a check prints that runs this code."""
    return forked(code_of(folder, code), parents).output


def test_it_ends_as_the_one_that_is_executed_does(tmp_path: Path, parents: WarmedParents) -> None:
    version, artifact = made = a_model(tmp_path)
    executed = try_out(version, artifact=artifact)
    trial = forked(made, parents)
    assert (trial.fault, trial.n_features) == (None, 2)
    assert trial.signature == executed.signature
    assert trial.report.samples == executed.report.samples


def test_what_is_wrong_is_told(tmp_path: Path, parents: WarmedParents) -> None:
    trial = forked(a_model(tmp_path, fitted=False), parents)
    assert trial.fault is not None
    assert "not fitted" in trial.fault


def test_one_parent_forks_all_of_them(tmp_path: Path, parents: WarmedParents) -> None:
    tell = "import os; print(os.getppid(), os.getpid())"
    told = [told_by(tell, tmp_path, parents).split()[:2] for _ in range(2)]
    (parent,) = the_parents()
    assert [int(parent_pid) for parent_pid, _ in told] == [parent.pid, parent.pid]
    assert told[0][1] != told[1][1]


def test_no_two_of_them_draw_the_same_numbers(tmp_path: Path, parents: WarmedParents) -> None:
    draw = "import random, numpy; print(random.random(), numpy.random.random())"
    first, second = (told_by(draw, tmp_path, parents).split()[:2] for _ in range(2))
    assert not {*first} & {*second}


def test_nothing_of_the_environment_or_of_files_reaches_it(
    tmp_path: Path, parents: WarmedParents, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "secret"
    hidden.write_text("hidden")
    monkeypatch.setenv("DJANGO_SECRET_KEY", "hidden")
    look = f"import os; print(dict(os.environ)); print(open({str(hidden)!r}).read())"
    trial = forked(code_of(tmp_path, look), parents)
    assert trial.fault is not None
    assert "PermissionError" in trial.fault
    assert "HOME" in trial.output
    assert "hidden" not in trial.output


def test_what_is_left_of_one_is_not_there_for_the_next(
    tmp_path: Path, parents: WarmedParents
) -> None:
    leave = "import os, sys; sys.left = 1; os.environ['LEFT'] = '1'; print('left')"
    assert "left" in told_by(leave, tmp_path, parents)
    look = "import os, sys; print(hasattr(sys, 'left'), 'LEFT' in os.environ)"
    assert told_by(look, tmp_path, parents).startswith("False False")


def test_a_signal_that_ends_it_is_told_apart(tmp_path: Path, parents: WarmedParents) -> None:
    trial = forked(code_of(tmp_path, "import os; os.kill(os.getpid(), 9)"), parents)
    assert trial.fault == "the process that tried the model out ended with signal 9 (SIGKILL)"


def test_one_whose_time_is_over_tells_where_and_is_ended_with_what_it_started(
    tmp_path: Path, parents: WarmedParents
) -> None:
    hang = """
import os, time
if child := os.fork(): print(child, flush=True)
else: os.setsid()
time.sleep(600)
"""
    version, artifact = code_of(tmp_path, hang)
    trial = forked((replace(version, load_timeout_s=10), artifact), parents)
    assert trial.fault is not None
    assert "did not load and answer within 10 s" in trial.fault
    child = max(int(word) for word in trial.output.split() if word.isdigit())
    with suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(SECONDS)


def test_one_that_is_given_up_is_ended(tmp_path: Path, parents: WarmedParents) -> None:
    def give_up() -> None:
        raise Aborted

    with pytest.raises(Aborted):
        forked(code_of(tmp_path, "import time; time.sleep(600)"), parents, meanwhile=give_up)
    for parent in the_parents():
        psutil.wait_procs(parent.children(), timeout=SECONDS)
        assert not parent.children()


def test_one_whose_parent_is_killed_is_forked_by_another(
    tmp_path: Path, parents: WarmedParents
) -> None:
    killed: list[int] = []

    def kill() -> None:
        if not killed:
            (parent,) = the_parents()
            killed.append(parent.pid)
            parent.kill()

    # It takes longer than it takes to be looked after.
    code = "import os, time; time.sleep(1.5); print('by', os.getppid(), flush=True)"
    output = forked(code_of(tmp_path, code), parents, meanwhile=kill).output
    (parent,) = the_parents()
    assert output.startswith(f"by {parent.pid}\n")
    assert parent.pid not in killed


def test_an_executed_one_that_gives_way_runs_where_nobody_else_wants_to(tmp_path: Path) -> None:
    process = ExecutedTrial(endless(tmp_path), environment=None, gives_way=True)
    assert comes_to_give_way(process)


def test_a_forked_one_that_gives_way_runs_where_nobody_else_wants_to(
    tmp_path: Path, parents: WarmedParents
) -> None:
    program = endless(tmp_path)
    # A parent that gives way while it imports may be given up where others want everything.
    first = parents.fork(program)
    assert first is not None
    with first.stdin, first.stdout, first.stderr:
        deadline = time.monotonic() + SECONDS
        while first.pid is None and time.monotonic() < deadline:
            first.wait(0.05)
        first.end()
    process = parents.fork(program, gives_way=True)
    assert process is not None
    assert comes_to_give_way(process)


def endless(folder: Path) -> TrialProgram:
    """A check that doesn't end by itself."""
    version, artifact = code_of(folder, "import time; time.sleep(600)")
    spec = load_spec(version, artifact=artifact, trial=True)
    return TrialProgram(arguments=["check", *spec.options()], spec=spec, folder=folder)


def comes_to_give_way(process: ForkedTrial | ExecutedTrial) -> bool:
    with process.stdin, process.stdout, process.stderr:
        try:
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline and process.wait(0.05) is None:
                if process.pid and os.sched_getscheduler(process.pid) == os.SCHED_IDLE:
                    return True
            return False
        finally:
            process.end()


def test_it_gives_way_and_where_others_want_everything_it_stops_doing_so(
    tmp_path: Path, parents: WarmedParents, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than it would get in time, also where what spins is nicer than others.
    tell = """
import os, time
until = time.process_time() + 0.15
while time.process_time() < until: pass
print('policy', os.sched_getscheduler(0))
"""
    assert forked(a_model(tmp_path), parents).fault is None
    (parent,) = the_parents()
    monkeypatch.setattr(trial_process, "STARVED_S", 0.5)  # of which one core is all spent here
    everywhere = parent.cpu_affinity()
    parent.cpu_affinity(everywhere[:1])
    try:
        with spinning(on=everywhere[0]):
            output = told_by(tell, tmp_path, parents)
    finally:
        parent.cpu_affinity(everywhere)
    assert output.startswith(f"policy {os.SCHED_OTHER}")


def test_a_parent_is_alone_once_it_has_imported_where_there_is_one_core() -> None:
    """A thread that gives way ends late there, and nothing could be forked beside it."""
    code = """
import os
from serving.container import warmed
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
warmed.PRELOADED, warmed.STARVED_S = {"small": ("colorsys",)}, 60.0
for _ in range(3):
    warmed.import_for("small", giving_way=True)
    print(len(os.listdir("/proc/self/task")))
"""
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert told.stdout.split() == ["1"] * 3, told.stderr


def test_a_parent_ends_once_nobody_wants_it_and_not_while_a_check_is_under_way(
    tmp_path: Path,
) -> None:
    own = WarmedParents(idle_s=0.1)
    before = {process.pid for process in the_parents()}
    slow = "import os, time; time.sleep(2); print('under', os.getppid(), flush=True)"
    assert forked(a_model(tmp_path), own).fault is None
    output = told_by(slow, tmp_path, own)
    # Nor is it tried in other ways, the last of which would be a child of this process.
    assert output.startswith("under")
    assert not output.startswith(f"under {os.getpid()}")
    left = [process for process in the_parents() if process.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=SECONDS)
    assert not alive


@contextmanager
def spinning(*, on: int) -> Iterator[None]:
    """A process that wants all of one core, of which others still get a share."""
    code = f"""
import os
os.sched_setaffinity(0, [{on}])
os.nice(10)
print(flush=True)
while True: pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, preexec_fn=set_parent_death_signal
    )
    assert isinstance(process.stdout, io.BufferedReader)
    process.stdout.readline()
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
