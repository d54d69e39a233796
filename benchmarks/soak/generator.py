"""The load generator as seen from the soak: a process that is started, listened to and stopped."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import msgspec

from benchmarks.command import Failed
from benchmarks.servers import stop
from benchmarks.soak.messages import Plan, Progress, Sort, Trouble
from scripts.stack.layout import ROOT
from scripts.stack.processes import dying_with_its_parent

# Feedback that is still open is sent again for up to two minutes.
STOP_SECONDS = 150.0

_decode = msgspec.json.Decoder(Progress).decode


class Generator:
    """What the generator has said so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.progress: list[Progress] = []
        self.troubles: list[Trouble] = []
        self._process = process
        assert process.stdout is not None
        self._listener = threading.Thread(
            target=self._listen, args=(process.stdout,), name="soak.progress"
        )
        self._listener.start()

    @property
    def queries(self) -> int:
        """Asked until now. Failed where it has ended."""
        if self._process.poll() is not None:
            raise Failed(f"The clients ended with exit code {self._process.returncode}.")
        return self.progress[-1].total("queries") if self.progress else 0

    @property
    def acknowledged(self) -> int:
        return self.progress[-1].acknowledged if self.progress else 0

    def errors(self) -> list[Trouble]:
        return [trouble for trouble in self.troubles if trouble.sort is Sort.ERROR]

    def stop(self) -> None:
        """Have it ask nothing new, and return when everything is answered."""
        stop(self._process, seconds=STOP_SECONDS)
        self._listener.join()

    def _listen(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                progress = _decode(line)
                self.troubles += progress.troubles
                self.progress.append(progress)


@contextmanager
def generating(plan: Plan) -> Iterator[Generator]:
    """Ask by that plan as long as the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.soak.clients"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=dying_with_its_parent(),
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(msgspec.json.encode(plan))
    generator = Generator(process)
    try:
        yield generator
    finally:
        generator.stop()
