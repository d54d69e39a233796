"""A master keeps its processes alive and replaces them one by one; real processes throughout."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pytest_django.fixtures import Settings

from clipper_site import ROOT
from serving.master.__main__ import parser
from serving.master.listening import listen
from serving.master.master import DRAIN_S, LAME_DUCK_S
from serving.master.orders import PASSWORD, OrderFailed
from serving.metrics.exposition import exposition
from serving.metrics.masters import dying, read_masters
from tests.serving.master.running import SECONDS, Running, gone, running, until


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as one:
        yield one


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, workers=2) as both:
        yield both


class Visitors:
    """Connect one after the other until they are told to leave; every answer is kept."""

    def __init__(self, master: Running) -> None:
        self._master = master
        self._leave = threading.Event()
        self.answers: list[int] = []
        self.failures: list[Exception] = []
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave.set()
        self._thread.join(SECONDS)

    def _visit(self) -> None:
        while not self._leave.is_set():
            try:
                self.answers.append(self._master.answer())
            except (OSError, ValueError) as error:
                self.failures.append(error)


def test_a_restart_replaces_every_process_and_nobody_is_turned_away(two: Running) -> None:
    before = two.children()
    with Visitors(two) as visitors:
        for _ in range(3):
            said = two.restart()
        until(lambda: len(visitors.answers) > 100, what="visitors")
    assert visitors.failures == []
    assert before.isdisjoint(two.children())
    assert len(two.children()) == 2
    assert [line.split()[2] for line in said] == ["starts", "is", "has"] * 2


def test_however_often_hangup_comes_each_restart_is_a_whole_one(two: Running) -> None:
    for _ in range(20):
        two.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)  # the kernel makes one of those that nobody has heard of yet
    two.restart()
    assert two.counts()["replaced"] <= 3 * 2
    until(lambda: len(two.children()) == 2, what="two processes")


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("broken", "ended with status 3 (ImportError: no module of this name) before it was ready"),
        ("dead", "was ended by signal 9 (Killed) before it was ready"),
        pytest.param("silent", "was not ready within 30 s", marks=pytest.mark.long),
    ],
)
def test_where_the_new_one_never_gets_ready_the_old_one_stays(
    master: Running, behaviour: str, why: str
) -> None:
    (before,) = master.children()
    master.behave(behaviour)
    with pytest.raises(OrderFailed) as refused:
        master.restart()
    assert str(refused.value).endswith(why)
    counts = master.counts()
    assert (counts["starts"], counts["unready"], counts["refused"]) == (2, 1, 1)
    assert why in master.text
    assert master.children() == {before}
    assert master.answer() == before
    master.behave("well")
    assert master.restart()
    assert master.answer() != before


def test_one_that_is_killed_is_replaced_at_once_and_counted(master: Running) -> None:
    (before,) = master.children()
    os.kill(before, signal.SIGKILL)
    assert master.answer() != before  # who comes meanwhile waits, and is not refused
    assert (master.counts()["deaths"], master.counts()["replaced"]) == (1, 0)
    assert f"process {before} was ended by signal 9" in master.text
    assert "the next one starts in 0 s" in master.text
    counts = master.counts()
    assert (counts["starts"], counts["deaths"], counts["in_a_row"]) == (2, 1, 1)
    assert dying({"predict": counts}) == ""


def test_those_that_die_as_they_start_are_started_ever_more_rarely(master: Running) -> None:
    master.behave("broken")
    os.kill(master.children().pop(), signal.SIGKILL)
    until(lambda: "starts in 1 s" in master.text, what="growing pauses")
    pauses = [float(line.split()[-2]) for line in master.text.splitlines() if " s" in line[-2:]]
    assert pauses[:3] == [0.0, 0.5, 1.0]
    counts = master.counts()
    assert counts["unready"] >= 2
    assert dying({"predict": counts}).startswith("a predict process keeps dying, ")
    master.behave("well")
    assert master.answer()


def test_what_masters_count_is_published_where_they_answer(master: Running, tmp_path: Path) -> None:
    (tmp_path / "predict.master").symlink_to(master.orders)
    master.restart()

    text = exposition([], masters=read_masters(tmp_path)).decode()

    assert 'clipper_web_processes_started_total{kind="predict"} 2.0' in text
    assert 'clipper_web_processes_replaced_total{kind="predict"} 1.0' in text
    assert 'kind="console"' not in text


@pytest.mark.parametrize(("set_to", "lame_duck_s"), [("20", 20), ("0", 0), ("", LAME_DUCK_S)])
def test_processes_have_their_time_to_be_seen_draining_beside_that_to_drain(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, set_to: str, lame_duck_s: int
) -> None:
    monkeypatch.setenv("CLIPPER_LAME_DUCK_S", set_to)
    assert parser().parse_args(["predict", "command"]).drain_s == DRAIN_S + lame_duck_s
    # Of what isn't set the processes think the same.
    assert settings.CLIPPER_LAME_DUCK_S == LAME_DUCK_S


def test_one_that_takes_too_long_to_retire_is_killed(master: Running) -> None:
    master.behave("stubborn")
    master.restart()
    (stubborn,) = master.children()
    master.behave("well")
    said = master.restart()
    assert said[-1] == f"process {stubborn} was killed: it took too long"
    assert master.answer() != stubborn


def test_sigterm_ends_all_of_them_and_the_socket_closes(two: Running) -> None:
    children = two.children()
    assert two.end() == 0
    assert gone(children)
    assert not two.orders.exists()
    with pytest.raises(ConnectionRefusedError):
        two.answer()


def test_sigterm_within_a_restart_ends_both_generations(master: Running) -> None:
    (before,) = master.children()
    master.behave("silent")
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(master.orders))
        line.sendall(b"restart\n")
        assert b"starts beside" in line.recv(1000)
        both = master.children()
        assert len(both) == 2
        assert before in both
        assert master.end() == 0
    assert gone(both)


def test_a_killed_master_takes_its_processes_with_it(two: Running, tmp_path: Path) -> None:
    children = two.children()
    two.process.kill()
    two.process.wait()
    until(lambda: gone(children), what="the processes notice")
    listen(f"127.0.0.1:{two.port}").close()  # nobody holds on to the port


def test_no_socket_leaks_from_one_generation_to_the_next(master: Running) -> None:
    def descriptors() -> tuple[int, int]:
        """Count the descriptors of the master and its process while both are idle."""
        (child,) = master.children()
        return psutil.Process(master.process.pid).num_fds(), psutil.Process(child).num_fds()

    before = descriptors()
    for _ in range(5):
        master.restart()
    # The connection that ordered the last one may be closing still.
    until(lambda: descriptors() == before, what="as many descriptors as before")


def test_an_order_without_the_password_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "secret")
    with running(tmp_path, workers=1) as master:
        assert master.counts()
        for wrong in ("", "other"):
            monkeypatch.setenv(PASSWORD, wrong)
            with pytest.raises(OrderFailed):
                master.restart()
        monkeypatch.setenv(PASSWORD, "secret")
        assert master.counts()["replaced"] == 0


def test_the_next_process_has_the_code_that_an_upgrade_put_in_its_folder_s_place(
    tmp_path: Path,
) -> None:
    def install(folder: Path) -> None:
        folder.mkdir()
        for name in ("clipper_site", "core", "registry", "selection", "serving", "tests"):
            (folder / name).symlink_to(ROOT / name)

    install(app := tmp_path / "app")
    with running(tmp_path, cwd=app) as master:
        shutil.rmtree(app)
        install(app)
        assert master.restart()[-1].endswith("has ended")
