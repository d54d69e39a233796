"""`make restart` says how replacing goes, and why where it doesn't."""

import os
import shutil
import socket
import socketserver
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from clipper_site.stack.layout import layout_of, sole_restart_of
from clipper_site.stack.restart import Replacing, main, replace
from clipper_site.stack.supervision import Program, Supervisor
from clipper_site.stack.terminal import StackError
from tests.serving.master.running import running


def test_it_says_what_the_master_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path) as master:
        (before,) = master.children()
        replace("predict", orders=master.orders)
        (after,) = master.children()
    assert capsys.readouterr().out.splitlines() == [
        f"predict: process {after} starts beside {before}",
        f"predict: process {after} is ready",
        f"predict: process {before} has ended",
    ]


def test_where_the_new_process_cannot_start_it_says_why(tmp_path: Path) -> None:
    with running(tmp_path) as master:
        master.behave("broken")
        with pytest.raises(StackError) as refused:
            replace("predict", orders=master.orders)
    said = str(refused.value)
    assert said.startswith("predict was not restarted, and goes on as it is: process ")
    assert "(ImportError: no module of this name)" in said


class OverUnixSocket(SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nobody reads it."""


class PlayedSupervisord(socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    """Knows programs, each in a state, and starts and stops them in words alone."""

    def __init__(self, path: Path, *, states: Mapping[str, str]) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        socketserver.UnixStreamServer.__init__(self, str(path), OverUnixSocket)
        self.states = dict(states)
        # Programs that don't start.
        self.broken: set[str] = set()
        self.register_function(self.found, "supervisor.getAllProcessInfo")
        self.register_function(self.start, "supervisor.startProcess")
        self.register_function(self.stop, "supervisor.stopProcess")

    def found(self) -> list[dict[str, object]]:
        return [
            {"name": name, "statename": state, "pid": pid, "start": pid}
            for pid, (name, state) in enumerate(self.states.items(), start=1)
        ]

    def start(self, program: Any) -> bool:
        if program in self.broken:
            raise Fault(40, f"ABNORMAL_TERMINATION: {program}")
        self.states[program] = "RUNNING"
        return True

    def stop(self, program: Any) -> bool:
        self.states[program] = "STOPPED"
        return True


@contextmanager
def supervised(var: Path, states: Mapping[str, str]) -> Iterator[PlayedSupervisord]:
    """A stack in `var` whose supervisord says that these programs are in these states."""
    run_dir = layout_of(var, port=8000).run_dir
    run_dir.mkdir(parents=True)
    with PlayedSupervisord(run_dir / "supervisor.sock", states=states) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
            shutil.rmtree(run_dir)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[PlayedSupervisord]:
    with supervised(tmp_path, {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}) as played:
        yield played


class Moved:
    """Says of each worker that it moves; `broken` has those that can't be left."""

    def __init__(self, *, broken: Sequence[str] = ()) -> None:
        self.broken = broken

    def __call__(self, program: Program) -> Generator[str]:
        yield f"{program.name} retires"
        if program.name in self.broken:
            raise StackError("svm:1 could not be started.")
        yield f"{program.name} has moved"


def replace_worker(var: Path, *, move: Moved) -> None:
    layout = layout_of(var, port=8000)
    supervisor = Supervisor(layout)
    Replacing("cpu-worker", supervisor=supervisor, logs=Path("log"), move=move).run()


def test_a_worker_is_stopped_when_its_replicas_have_moved_to_the_other_program(
    pair: PlayedSupervisord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_worker(tmp_path, move=Moved())
    assert pair.states == {"cpu-worker": "STOPPED", "cpu-worker-2": "RUNNING"}
    assert capsys.readouterr().out.splitlines() == [
        "cpu-worker: cpu-worker retires",
        "cpu-worker: process 2 starts beside 1",
        "cpu-worker: cpu-worker has moved",
        "cpu-worker: process 1 has ended",
    ]
    replace_worker(tmp_path, move=Moved())
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}


def test_where_a_replica_cannot_move_all_of_them_move_back_and_it_says_why(
    pair: PlayedSupervisord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StackError) as refused:
        replace_worker(tmp_path, move=Moved(broken=["cpu-worker"]))
    assert str(refused.value) == (
        "cpu-worker was not restarted, and goes on as it is: svm:1 could not be started. "
        "More is in log/cpu-worker-2.log."
    )
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}
    assert "cpu-worker: cpu-worker-2 has moved" in capsys.readouterr().out


def test_what_can_move_neither_way_goes_on_where_it_is(
    pair: PlayedSupervisord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StackError):
        replace_worker(tmp_path, move=Moved(broken=["cpu-worker", "cpu-worker-2"]))
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "RUNNING"}
    assert "process 2 goes on all the same" in capsys.readouterr().out


def test_a_restart_that_was_broken_off_is_brought_to_its_end_first(
    pair: PlayedSupervisord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.states["cpu-worker-2"] = "RUNNING"
    replace_worker(tmp_path, move=Moved())
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}
    moved = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" has moved")]
    assert moved == [
        "cpu-worker: cpu-worker has moved",
        "cpu-worker: cpu-worker-2 has moved",
    ]


def test_one_restart_at_a_time_replaces_what_a_stack_runs(
    pair: PlayedSupervisord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sole_restart_of(tmp_path):
        assert main(["--var", str(tmp_path), "--only", "cpu-worker"]) == 1
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}
    assert capsys.readouterr().err == (
        f"clipper: A restart of the stack on {tmp_path} is under way already "
        f"(process {os.getpid()}): wait for it.\n"
    )


def test_a_worker_that_does_not_start_leaves_the_one_before(
    pair: PlayedSupervisord, tmp_path: Path
) -> None:
    pair.broken.add("cpu-worker-2")
    with pytest.raises(StackError, match=r"cpu-worker-2 did not start: .*ABNORMAL_TERMINATION"):
        replace_worker(tmp_path, move=Moved())
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}


@pytest.mark.parametrize(("state", "status"), [("STOPPED", 0), ("FATAL", 1), ("BACKOFF", 1)])
def test_a_program_that_does_not_run_is_left_alone_and_is_a_fault_unless_it_was_stopped(
    state: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with supervised(tmp_path, {"predict": "RUNNING", "console": state}):
        assert main(["--var", str(tmp_path), "--only", "console"]) == status
    said = capsys.readouterr()
    assert said.out == f"console: left alone, as it doesn't run ({state.lower()})\n"
    assert said.err.startswith("clipper: console: broken before; the log in ") == bool(status)


def test_a_program_that_the_running_stack_does_not_have_takes_a_new_start(
    pair: PlayedSupervisord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--var", str(tmp_path), "--only", "cpu-worker", "--only", "console"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clipper: ")
    assert said.count("\n") == 1
    assert "console" in said
    assert pair.states == {"cpu-worker": "RUNNING", "cpu-worker-2": "STOPPED"}


def test_a_supervisord_that_hangs_is_given_up(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, port=8000)
    layout.run_dir.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(layout.run_dir / "supervisor.sock"))
        hanging.listen()
        with pytest.raises(StackError):
            Supervisor(layout, seconds=0.1).programs()
    shutil.rmtree(layout.run_dir)


def test_a_stack_of_another_installation_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = layout_of(tmp_path, port=0).environment_script
    script.write_text("export CLIPPER_PYTHON=/elsewhere/bin/python\n")
    assert main(["--var", str(tmp_path)]) == 1
    assert "/elsewhere/bin/python" in capsys.readouterr().err
