"""`make restart` says how replacing goes, and why where it doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.stack.errors import StackError
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
