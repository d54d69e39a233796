"""The documentation is built beside the stack, and given up with it."""

import fcntl
from pathlib import Path

import pytest

from clipper_site.stack import site_files
from clipper_site.stack.layout import layout_of, make_folders
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
