"""The documentation is built beside the stack, and given up with it."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from clipper_site.stack import site_files
from clipper_site.stack.layout import layout_of, make_folders
from scripts.docs import idle_build
from tests.integration.stack import eventually

SLEEPER = "import time; print('at it', flush=True); time.sleep(600)"


@pytest.mark.parametrize("ends", [True, False])
def test_whoever_builds_holds_the_log_and_ends_with_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    layout = layout_of(tmp_path / "var", port=8000)
    make_folders(layout)
    monkeypatch.setattr(site_files, "BUILT", tmp_path / "index.html")
    code = "print('at it', flush=True)" if ends else SLEEPER
    monkeypatch.setattr(site_files, "BUILDER", ("-c", code))
    log = layout.logs / "docs.log"
    with site_files.docs_built_meanwhile(layout):
        eventually(lambda: log.read_text() == "at it\n", seconds=30, what="a line in the log")
        if ends:
            eventually(lambda: is_free(log), seconds=30, what="the end of the build")
        else:
            assert not is_free(log)
    assert is_free(log)


def is_free(log: Path) -> bool:
    with log.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="a kind of scheduling of Linux")
def test_it_is_built_in_idle_time_and_stops_at_a_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told = "import os; print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))"
    commands = [["-c", told], ["-c", "raise SystemExit(3)"], ["-c", "print('too far')"]]
    monkeypatch.setattr(idle_build, "COMMANDS", [[sys.executable, *each] for each in commands])
    child = os.fork()
    if not child:
        os._exit(idle_build.main())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert capfd.readouterr().out == "True 19\n"
