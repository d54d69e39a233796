"""The output of uv can be read while it runs."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.environments.building import LOG_BYTES, BuildLog


@pytest.fixture
def threads_alternate() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def test_it_is_read_while_a_thread_adds_to_it(tmp_path: Path, threads_alternate: None) -> None:
    log = BuildLog(tmp_path / "log")
    for _ in range(LOG_BYTES // 1000 + 1):
        log.add("x" * 1000)  # from now on nothing is written to the file
    log.begin()
    over = threading.Event()

    def add() -> None:
        while not over.is_set():
            log.add("")

    writer = threading.Thread(target=add)
    writer.start()
    try:
        for _ in range(20_000):
            assert log.last == ""
            assert log.words() == "it said nothing"
    finally:
        over.set()
        writer.join()
