"""A real master with real processes, and what a test asks of it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from clipper_site import ROOT
from clipper_site.stack.layout import free_port
from serving.master.orders import COUNTS, RESTART, ordered
from tests.serving.master import served
from tests.serving.master.served import BEHAVIOUR

T = TypeVar("T")
SECONDS = 60.0
# So soon a master gives up on its processes here.
READY_S, DRAIN_S = "30", "1"


class Running:
    """One master, by what can be seen of it from outside."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int,
        program: Sequence[str],
        options: Sequence[str],
        cwd: Path,
    ) -> None:
        self.port = free_port()
        self.orders = folder / "orders"
        self._behaviour = folder / "behaviour"
        self.log = folder / "log"
        self.behave("well")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "serving.master", "served"),
                    *("--listen", f"http=127.0.0.1:{self.port}", "--workers", str(workers)),
                    *("--orders", str(self.orders), "--ready-s", READY_S),
                    *("--drain-s", DRAIN_S, "--retire-s", DRAIN_S, *options),
                    *("--", sys.executable, "-m", *program),
                ],
                cwd=cwd,
                env=os.environ | {BEHAVIOUR: str(self._behaviour)},
                stderr=log,
            )

    def behave(self, how: str) -> None:
        """Say how the processes behave that start from now on."""
        self._behaviour.write_text(how)

    @property
    def text(self) -> str:
        return self.log.read_text()

    def children(self) -> set[int]:
        """The processes it has at the moment, ready or not."""
        found = set()
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if child.status() != psutil.STATUS_ZOMBIE:
                    found.add(child.pid)
        return found

    def answer(self) -> int:
        """The process that answers a new connection; waits for one where there is none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as client:
            return int(client.makefile().readline())

    def restart(self) -> list[str]:
        return list(ordered(RESTART, path=self.orders, seconds=SECONDS))

    def counts(self) -> dict[str, int]:
        lines = ordered(COUNTS, path=self.orders, seconds=SECONDS)
        return {name: int(count) for name, count in map(str.split, lines)}

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def running(
    folder: Path,
    *,
    workers: int = 1,
    program: Sequence[str] = (served.__name__,),
    options: Sequence[str] = (),
    cwd: Path = ROOT,
) -> Iterator[Running]:
    master = Running(folder, workers=workers, program=program, options=options, cwd=cwd)
    try:
        until(lambda: master.text.count("is ready") >= workers, what="processes are ready")
        yield master
    finally:
        for pid in master.children() if master.process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        master.process.kill()
        master.process.wait()


def until(condition: Callable[[], T], *, what: str, seconds: float = SECONDS) -> T:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return value


def gone(pids: set[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)
