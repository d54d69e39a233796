"""What is done before a model serves lets those go first who serve; serving itself does not."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from serving.container.priority import LATER, letting_others_go_first

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="threads have no niceness elsewhere"
)


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_the_work_is_nicer_than_the_process_which_stays_as_it_was() -> None:
    before = niceness()
    assert letting_others_go_first(niceness) == min(19, before + LATER)
    assert niceness() == before


def test_what_it_raises_is_raised() -> None:
    def fail() -> None:
        raise SystemExit("no weights")

    with pytest.raises(SystemExit, match="no weights"):
        letting_others_go_first(fail)


def test_an_unprivileged_process_may_do_it_again_and_again() -> None:
    assert {letting_others_go_first(niceness) for _ in range(3)} == {min(19, niceness() + LATER)}


def test_where_it_may_not_be_nicer_it_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*what: int) -> None:
        raise PermissionError

    before = niceness()
    monkeypatch.setattr(os, "setpriority", refuse)
    assert letting_others_go_first(niceness) == before
