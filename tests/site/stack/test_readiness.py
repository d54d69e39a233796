"""Waiting for the web process: what lacks is told, and a stack that is up stays up."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import Popen

import pytest

from clipper_site.stack import stack_readiness
from clipper_site.stack.terminal import StackError
from tests.site.stack.played_web import web_process


@pytest.fixture
def supervisord() -> Iterator[subprocess.Popen[bytes]]:
    """Something that runs until it is told to end."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        yield child
        child.kill()


NOT_READY = 503, {"error": "Not ready: model svm: no version was deployed."}
READY = 200, {"ready": True}


def test_it_waits_until_all_is_ready(tmp_path: Path, supervisord: Popen[bytes]) -> None:
    with web_process(NOT_READY, NOT_READY, READY, var=tmp_path) as layout:
        assert stack_readiness.wait_until_ready(layout, supervisord=supervisord) is None


def test_what_still_lacks_in_the_end_is_told_in_the_web_processes_words(
    tmp_path: Path, supervisord: Popen[bytes]
) -> None:
    with web_process(NOT_READY, var=tmp_path) as layout:
        lacking = stack_readiness.wait_until_ready(layout, supervisord=supervisord, seconds=5.0)
    assert lacking == "Not ready: model svm: no version was deployed."


def test_it_doesnt_wait_for_a_stack_that_died(tmp_path: Path, supervisord: Popen[bytes]) -> None:
    supervisord.kill()
    supervisord.wait()
    with (
        web_process(NOT_READY, var=tmp_path) as layout,
        pytest.raises(StackError, match="ended unasked"),
    ):
        stack_readiness.wait_until_ready(layout, supervisord=supervisord)


def test_what_a_stack_that_is_ready_lacks_is_told(tmp_path: Path) -> None:
    checks = {"database": "ok", "model svm:1": "ok", "model knn:1": "it lacks a slot"}
    with web_process((200, {"ready": True, "checks": checks}), var=tmp_path) as layout:
        assert stack_readiness.shortcomings(layout) == ["model knn:1: it lacks a slot"]


LIVE = 200, {"live": True}
REDIS_AWAY = 503, {"error": "Not ready.", "details": {"checks": {"redis": "cannot be reached"}}}


@pytest.mark.parametrize(
    ("answers", "lacking"),
    [
        ((NOT_READY,), "the predict process"),
        ((LIVE, NOT_READY), "the console"),
        ((LIVE, LIVE, REDIS_AWAY, LIVE, LIVE, REDIS_AWAY), r"Redis \(cannot be reached\)"),
    ],
)
def test_what_is_not_live_in_the_end_is_named(
    tmp_path: Path,
    supervisord: Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    answers: Sequence[tuple[int, Mapping[str, object]]],
    lacking: str,
) -> None:
    monkeypatch.setattr(stack_readiness, "LIVE_SECONDS", 0.0)
    with (
        web_process(*answers, var=tmp_path) as layout,
        pytest.raises(StackError, match=f"Not up after 0 s: {lacking}"),
    ):
        stack_readiness.wait_until_live(layout, supervisord=supervisord)
