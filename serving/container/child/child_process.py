"""A model in a confined process of its own, as its replica's process sees it.

The replica's process keeps the address, the heartbeats, the limits and the secrets; the child
answers web processes itself. Neither outlives the other.
"""

import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from serving.container.adapters.archive import new_folder
from serving.container.child.link import DRAIN, EX_SOFTWARE, STREAM, ChildLink, Statistics
from serving.container.child.model_process import (
    LONGEST_LINE,
    ForkServer,
    ModelEnvironment,
    ModelProgram,
    ServerLost,
    start_process,
)
from serving.container.failures.container_errors import LoadFailed, error_of
from serving.container.failures.output import Overheard
from serving.container.failures.recent_failures import Failure, RecentFailures, broken
from serving.container.failures.tracebacks import last_line, process_end
from serving.container.inputs.signature import Signature, read_reported, reported_features
from serving.container.sandbox.limits import process_bytes
from serving.container.spec import LoadSpec
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import Answer
from serving.rpc.text import safe_text

# The end of a reason for a process that could not give one itself.
WHILE_LOADING = "while the model was loading"

logger = logging.getLogger(__name__)


class ChildPredictor:
    """The child of a replica's process, loaded and warmed up; raises the child's ContainerError."""

    def __init__(
        self,
        spec: LoadSpec,
        *,
        on_started: Callable[[int, int], None] = lambda pid, held: None,
        on_broken: Callable[[Failure], None] = lambda failure: None,
        server: ForkServer | None = None,
        environment: ModelEnvironment | None = None,
    ) -> None:
        self.input_type = spec.input_type
        self.n_features: int | None = None
        self.signature = Signature(input_type=spec.input_type)
        self.failures = RecentFailures()
        self.statistics = Statistics()
        self._reported_at = time.monotonic()
        self._busy_s = 0.0
        self._link: ChildLink | None = None
        self._asked = 0
        self._done = False
        self._stopping = False
        self._on_broken = on_broken
        self._watching: threading.Thread | None = None
        self._folder = new_folder()
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        program = ModelProgram(
            arguments=["answer", *spec.options()],
            spec=spec,
            folder=self._folder,
            passed=("--descriptor", theirs.fileno()),
        )
        try:
            with theirs:
                self.process = start_process(program, server=server, environment=environment)
            self.process.stdin.close()
            self._output = Overheard(self.process.stderr, name="child.stderr")
            self._wait_until_loaded(on_started)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise LoadFailed(f"its process cannot be started: {error}") from error
            raise
        self._listening = threading.Thread(target=self._listen, name="child.stdout", daemon=True)
        self._listening.start()
        self._watching = threading.Thread(target=self._watch, name="child", daemon=True)
        self._watching.start()

    @property
    def busy_for(self) -> float:
        """Return the seconds of the batch under way, 0.0 if there is none."""
        # It reports each second, unless its model keeps the interpreter to itself.
        silent = time.monotonic() - self._reported_at
        return self._busy_s + silent if self._busy_s or silent > 3.0 else 0.0

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Ask from this process, for peers whose streams can't be handed over."""
        self._asked = (self._asked + 1) & 0xFFFF_FFFF
        try:
            return self._linked().ask(self._asked, inputs)
        except (OSError, ConnectionLost, ProtocolError):
            # Out of step, it is of no more use, and its end is this process's. The callers find
            # out themselves on which of the inputs it died.
            self.process.send_signal(9)
            if self._watching is not None:
                self._watching.join()
            raise

    def warm_up(self) -> None:
        """The child has done that."""

    def admit(self, descriptor: int) -> None:
        """Hand over a greeted peer's stream; raises OSError if the child takes none."""
        socket.send_fds(self._channel, [STREAM], [descriptor])

    def drain(self) -> None:
        """Have the child ask its peers to leave, and end once they have."""
        with suppress(OSError):  # it ends anyway, or has to be ended
            self._channel.send(DRAIN)

    def wait_drained(self, timeout: float) -> bool:
        """After drain(): wait `timeout` seconds for the child to end by itself."""
        if self._watching is None:
            return True
        self._watching.join(timeout)
        return not self._watching.is_alive()

    def close(self) -> None:
        self._stopping = True
        if self._link is not None:
            self._link.close()
        self._channel.close()  # for the child the end of its work
        if hasattr(self, "process"):
            self.wait_drained(5.0)
            self.process.end()
            if hasattr(self, "_output"):
                self._output.wait()
            if self._watching is None:  # else its listener closes it
                self.process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _linked(self) -> ChildLink:
        if self._link is None:
            ours, theirs = socket.socketpair()
            self._link = ChildLink(ours)
            with theirs:
                self.admit(theirs.fileno())
        return self._link

    def _wait_until_loaded(self, on_started: Callable[[int, int], None]) -> None:
        report = self._read_report()
        if report is not None and "base_bytes" in report:
            # Once, before its model: its memory limit counts from there.
            with suppress(ServerLost):
                self.process.wait(0)
            if (pid := self.process.pid) is not None:
                on_started(pid, min(int(report["base_bytes"]), process_bytes(pid)))
            report = self._read_report()
        if report is None:
            ended = self._how_it_ended()
            reason = f"{ended.error}, {WHILE_LOADING}"
            raise error_of({"error": reason, "traceback": ended.traceback})
        if not report.get("ok"):
            raise error_of(report)
        self.n_features = reported_features(report.get("n_features"))
        self.signature = read_reported(report.get("signature"), input_type=self.input_type)

    def _how_it_ended(self) -> Failure:
        try:
            reason = f"its process ended with {process_end(self.process.wait(None) or 0)}"
        except ServerLost:
            reason = "its process was killed"
        self._output.wait()
        words = self._output.last_words()
        failure = broken(reason, output=words)
        said = "" if failure.traceback else safe_text(last_line(words))
        return msgspec.structs.replace(failure, error=f"{reason} ({said})") if said else failure

    def _read_report(self) -> dict[str, Any] | None:
        """Return the child's next line; None at the end."""
        line = self.process.stdout.readline(LONGEST_LINE)
        if not line:
            return None
        with suppress(ValueError, RecursionError):
            report = json.loads(line)
            if isinstance(report, dict):
                return report
        raise LoadFailed(f"its process spoke out of turn: {line[:200]!r}")

    def _listen(self) -> None:
        """Follow the child's reports; one that isn't understood ends it."""
        try:
            with self.process.stdout:
                while (report := self._read_report()) is not None:
                    self._take(report)
        except (LoadFailed, msgspec.ValidationError) as error:
            logger.warning("the model's process is not understood: %s", error)
        self.process.send_signal(9)

    def _take(self, report: dict[str, Any]) -> None:
        if "failure" in report:
            self.failures.merge(msgspec.convert(report["failure"], Failure))
            return
        self._done = report.get("done") is True
        self._busy_s = msgspec.convert(report.get("busy_s"), float)
        reported = msgspec.convert(report.get("statistics"), Statistics)
        last_error = None if reported.last_error is None else safe_text(reported.last_error)
        self.statistics = msgspec.structs.replace(reported, last_error=last_error)
        self._reported_at = time.monotonic()

    def _watch(self) -> None:
        """End this process with the child, unless that was to end."""
        with suppress(ServerLost):
            self.process.wait(None)
        self._listening.join(1.0)
        # Its forks may live on with its pipes: only its own end can be waited for.
        # Libraries break as they are torn down: no batch is lost by that.
        if self._stopping or self._done:
            return
        ended = self._how_it_ended()
        self.process.end()
        if not self._stopping:
            logger.error("the model is lost: %s", ended.error)
            shutil.rmtree(self._folder, ignore_errors=True)
            try:
                self._on_broken(ended)
            finally:
                os._exit(EX_SOFTWARE)
