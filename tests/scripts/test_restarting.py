"""`make restart` says how replacing goes, and why where it doesn't."""

from __future__ import annotations

import shutil
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import pytest

from scripts.stack.errors import StackError
from scripts.stack.layout import layout_of
from scripts.stack.restarting import main, replace
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


def test_without_a_stack_it_ends_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--var", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"clipper: No stack runs in '{tmp_path}'.\n"


class OverUnixSocket(SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nobody reads it."""


class PlayedSupervisord(socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    """Knows programs, each in a state, and does nothing with them."""

    def __init__(self, path: Path, *, states: Mapping[str, str]) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        socketserver.UnixStreamServer.__init__(self, str(path), OverUnixSocket)
        found = [{"name": name, "statename": state} for name, state in states.items()]
        self.register_function(lambda: found, "supervisor.getAllProcessInfo")


@contextmanager
def supervised(var: Path, **states: str) -> Iterator[None]:
    """A stack in `var` whose supervisord says that these programs are in these states."""
    run_dir = layout_of(var, port=8000).run_dir
    run_dir.mkdir(parents=True)
    with PlayedSupervisord(run_dir / "supervisor.sock", states=states) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()
            shutil.rmtree(run_dir)


def test_a_stack_that_an_older_release_started_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with supervised(tmp_path, web="RUNNING", control="RUNNING"):
        assert main(["--var", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "clipper: The stack that runs has no program predict or console: another release started "
        "it. End it with Ctrl-C and start it with make run.\n"
    )


@pytest.mark.parametrize(("state", "status"), [("STOPPED", 0), ("FATAL", 1), ("BACKOFF", 1)])
def test_a_program_that_does_not_run_is_left_alone_and_is_a_fault_unless_it_was_stopped(
    state: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with supervised(tmp_path, predict="RUNNING", console=state):
        assert main(["--var", str(tmp_path), "--only", "console"]) == status
    said = capsys.readouterr()
    assert said.out == f"console: left alone, as it doesn't run ({state.lower()})\n"
    assert said.err.startswith("clipper: console: broken before; the log in ") == bool(status)
