"""A process in short turns is as nice as before, and so are its threads and what it starts."""

import ctypes
import os
import platform
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from core.loop.short_turns import ATTRIBUTES, SET_ATTRIBUTES, take_short_turns
from serving.master.__main__ import give_cores_back_soon
from tests.serving.master.running import running

# What asks for the attributes is the call after the one that sets them.
SIZE = struct.calcsize(ATTRIBUTES)


def turn_of(thread: int) -> float:
    """Seconds that a thread's turn on a core lasts, as the kernel has it."""
    attributes = ctypes.create_string_buffer(SIZE)
    number = SET_ATTRIBUTES[platform.machine()] + 1
    assert ctypes.CDLL(None).syscall(number, thread, attributes, SIZE, 0) == 0
    return float(struct.unpack(ATTRIBUTES, attributes.raw)[5]) / 1e9


def tells_turns() -> bool:
    known = sys.platform == "linux" and platform.machine() in SET_ATTRIBUTES
    return known and turn_of(0) > 0


pytestmark = pytest.mark.skipif(not tells_turns(), reason="Linux has no such turns before 6.12")


def test_a_thread_and_what_it_starts_take_short_turns_and_stay_as_nice() -> None:
    seen: list[float] = []

    def work() -> None:
        os.nice(3)
        before = os.getpriority(os.PRIO_PROCESS, 0)
        take_short_turns()
        started = threading.Thread(target=lambda: seen.append(turn_of(0)))
        started.start()
        started.join()
        seen.extend([turn_of(0), before - os.getpriority(os.PRIO_PROCESS, 0)])

    usual = turn_of(0)
    with ThreadPoolExecutor(max_workers=1) as threads:
        threads.submit(work).result()
    assert seen == [pytest.approx(0.0001), pytest.approx(0.0001), 0]
    assert turn_of(0) == usual > 0.0001


def test_a_master_s_processes_take_them_where_it_is_told_to(tmp_path: Path) -> None:
    with running(tmp_path, options=["--short-turns"]) as master:
        (child,) = master.children()
        assert {turn_of(one.id) for one in psutil.Process(child).threads()} == {0.0001}
        assert "short turns" not in master.text


def test_where_it_can_t_be_told_a_master_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "abacus")
    give_cores_back_soon()
    assert "Function not implemented" in caplog.text
