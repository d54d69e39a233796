"""The process that answers queries, watched by a neighbour that asks it all the while."""

import http.client
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.integration.stack import Stack

SECONDS = 60.0
# One client may keep the others waiting for as long as the decoder takes to pass over a body of the
# largest size so many times. To make Python objects of such a body took 12 times as long and more.
MOST_PASSES = 6
# Other processes only ever add to a turn's time: one burst that holds nobody up is the proof.
TRIES = 3
LARGEST = b"[%b1]" % (b"1," * 7_900_000)

T = TypeVar("T")


class Watched:
    """The process that answers queries, and a neighbour that asks it."""

    def __init__(self, stack: Stack) -> None:
        (process,) = stack.web_processes()
        self._folder = Path("/proc", str(process.pid))
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=SECONDS)
        self.longest_turn = self.spent_s = 0.0
        self.held_up_nobody = False

    def during(self, burst: Callable[[], T]) -> T:
        """Return what the burst came to, once the neighbour has asked all the while."""
        for _ in range(TRIES):
            answer = self._once(burst)
            if self.held_up_nobody:
                break
        return answer

    def _once(self, burst: Callable[[], T]) -> T:
        answers: list[T] = []
        sending = threading.Thread(target=lambda: answers.append(burst()))
        self._folder.joinpath("clear_refs").write_text("5")  # the peak of memory begins anew
        self.longest_turn, before = 0.0, self._processor_s
        sending.start()
        while sending.is_alive():
            self._ask()
        sending.join()
        self.spent_s = self._processor_s - before
        self._connection.close()
        assert answers, "the burst failed"
        began = time.thread_time()
        msgspec.json.decode(LARGEST, type=msgspec.Raw)
        self.held_up_nobody = self.longest_turn < MOST_PASSES * (time.thread_time() - began)
        return answers[0]

    @property
    def most_bytes(self) -> int:
        """The memory that the process held at most."""
        lines = self._folder.joinpath("status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    @property
    def _processor_s(self) -> float:
        return int(self._folder.joinpath("schedstat").read_text().split()[0]) / 1e9

    def _ask(self) -> None:
        before = self._processor_s
        self._connection.request("GET", "/health/live")
        assert self._connection.getresponse().read()
        self.longest_turn = max(self.longest_turn, self._processor_s - before)
