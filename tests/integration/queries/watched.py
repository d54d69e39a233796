"""The process that answers queries, watched by a neighbour that asks it all the while."""

import http.client
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.integration.stack import Stack

SECONDS = 60.0
# What one client may keep from the others: bursts are worked at for 1 ms at a time.
LONGEST_TURN_S = 0.1

T = TypeVar("T")


class Watched:
    """The process that answers queries, and a neighbour that asks it."""

    def __init__(self, stack: Stack) -> None:
        (process,) = stack.web_processes()
        self._folder = Path("/proc", str(process.pid))
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=SECONDS)
        self.longest_turn = 0.0

    def during(self, burst: Callable[[], T]) -> T:
        """Return what the burst came to, once the neighbour has asked all the while."""
        answers: list[T] = []
        sending = threading.Thread(target=lambda: answers.append(burst()))
        self._folder.joinpath("clear_refs").write_text("5")  # the peak of memory begins anew
        sending.start()
        while sending.is_alive():
            self._ask()
        sending.join()
        self._connection.close()
        assert answers, "the burst failed"
        return answers[0]

    @property
    def most_bytes(self) -> int:
        """The memory that the process held at most."""
        lines = self._folder.joinpath("status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    @property
    def processor_s(self) -> float:
        return int(self._folder.joinpath("schedstat").read_text().split()[0]) / 1e9

    def _ask(self) -> None:
        before = self.processor_s
        self._connection.request("GET", "/health/live")
        assert self._connection.getresponse().read()
        self.longest_turn = max(self.longest_turn, self.processor_s - before)
