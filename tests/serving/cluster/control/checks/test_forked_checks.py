"""A check that is forked from the fork server is like one that is executed."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from core.specs import VersionSpec
from serving.cluster.control.checks.version_trial import Trial, try_out
from serving.container.child.model_process import ForkServer
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
def server() -> Iterator[ForkServer]:
    found = ForkServer()
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


def forked(made: tuple[VersionSpec, Path], server: ForkServer, **more: object) -> Trial:
    version, artifact = made
    return try_out(version, artifact=artifact, server=server, **more)  # type: ignore[arg-type]


def the_servers() -> list[psutil.Process]:
    """Those that this process has started."""
    return [
        process
        for process in psutil.Process().children()
        if "serving.container.child.fork_server" in command_of(process)
    ]


def told_by(code: str, folder: Path, server: ForkServer) -> str:
    """Return the output of a check that runs this code."""
    return forked(code_of(folder, code), server).output


def test_it_ends_as_the_one_that_is_executed_does(tmp_path: Path, server: ForkServer) -> None:
    version, artifact = made = a_model(tmp_path)
    executed = try_out(version, artifact=artifact)
    trial = forked(made, server)
    assert (trial.fault, trial.n_features) == (None, 2)
    assert trial.signature == executed.signature
    assert trial.report.samples == executed.report.samples


def test_nothing_of_the_environment_or_of_files_reaches_it(
    tmp_path: Path, server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "secret"
    hidden.write_text("hidden")
    monkeypatch.setenv("DJANGO_SECRET_KEY", "hidden")
    look = f"import os; print(dict(os.environ)); print(open({str(hidden)!r}).read())"
    trial = forked(code_of(tmp_path, look), server)
    assert trial.fault is not None
    assert "PermissionError" in trial.fault
    assert "HOME" in trial.output
    assert "hidden" not in trial.output


def test_what_is_left_of_one_is_not_there_for_the_next(tmp_path: Path, server: ForkServer) -> None:
    leave = "import os, sys; sys.left = 1; os.environ['LEFT'] = '1'; print('left')"
    assert "left" in told_by(leave, tmp_path, server)
    look = "import os, sys; print(hasattr(sys, 'left'), 'LEFT' in os.environ)"
    assert told_by(look, tmp_path, server).startswith("False False")


def test_one_whose_time_is_over_tells_where_and_is_ended_with_what_it_started(
    tmp_path: Path, server: ForkServer
) -> None:
    hang = """
import os, time
if child := os.fork(): print(child, flush=True)
else: os.setsid()
time.sleep(600)
"""
    version, artifact = code_of(tmp_path, hang)
    trial = forked((replace(version, load_timeout_s=10), artifact), server)
    assert trial.fault is not None
    assert "did not load and answer within 10 s" in trial.fault
    child = max(int(word) for word in trial.output.split() if word.isdigit())
    with suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(SECONDS)


def test_one_whose_server_is_killed_is_executed_and_the_next_one_is_forked_by_another(
    tmp_path: Path, server: ForkServer
) -> None:
    killed: list[int] = []

    def kill() -> None:
        if not killed:
            (parent,) = the_servers()
            killed.append(parent.pid)
            parent.kill()

    # It takes longer than it takes to be looked after.
    code = "import os, time; time.sleep(1.5); print('by', os.getppid(), flush=True)"
    output = forked(code_of(tmp_path, code), server, meanwhile=kill).output
    assert output.startswith(f"by {os.getpid()}\n")
    output = told_by(code, tmp_path, server)
    (parent,) = the_servers()
    assert output.startswith(f"by {parent.pid}\n")
    assert parent.pid not in killed


def test_a_parent_ends_once_nobody_wants_it_and_not_while_a_check_is_under_way(
    tmp_path: Path,
) -> None:
    own = ForkServer(idle_s=0.1)
    before = {process.pid for process in the_servers()}
    slow = "import os, time; time.sleep(2); print('under', os.getppid(), flush=True)"
    assert forked(a_model(tmp_path), own).fault is None
    output = told_by(slow, tmp_path, own)
    # Nor is it tried in other ways, the last of which would be a child of this process.
    assert output.startswith("under")
    assert not output.startswith(f"under {os.getpid()}")
    left = [process for process in the_servers() if process.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=SECONDS)
    assert not alive
    own.end()


def test_the_launcher_finds_the_server_among_the_processes_of_models(
    tmp_path: Path, server: ForkServer
) -> None:
    """Its environment doesn't name the stack, so it is known by having given up privileges."""
    assert forked(a_model(tmp_path), server).fault is None
    for process in the_servers():
        assert "NoNewPrivs:\t1" in Path(f"/proc/{process.pid}/status").read_text()
