"""A model in a process of its own, which was started for it and knows nothing of the stack.

For versions that run code of their own. The replica's process keeps the address, the heartbeats,
the limits and the secrets. It hands the streams of web processes over to the child
(`serving.container.admission`), which answers them itself. The child is confined
(`serving.container.confined`), so that its memory, its environment and the files it can open hold
nothing that its artifact didn't bring. Neither outlives the other.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from serving.container.admission import Admissions
from serving.container.busy import busy_for, new_memory
from serving.container.confined import scrubbed_environment
from serving.container.crashes import broken, last_line, signal_text
from serving.container.dying import end_group, set_parent_death_signal
from serving.container.errors import LoadFailed, error_of
from serving.container.failures import Failure, RecentFailures
from serving.container.limits import THREAD_VARIABLES, private_bytes
from serving.container.link import EX_SOFTWARE, ChildLink
from serving.container.output import Overheard, asked_for
from serving.container.programs import (
    LONGEST_LINE,
    ROOT,
    WHILE_LOADING,
    ModelEnvironment,
    model_command,
)
from serving.container.scratch import new_folder
from serving.container.signature import Signature, read_told, told_features
from serving.container.spec import LoadSpec
from serving.container.statistics import Statistics
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames import Answer
from serving.rpc.text import safe_text

STOPPED_WITHIN_S = 5.0

logger = logging.getLogger(__name__)


class BoxedPredictor:
    """The child, as its replica's process has it at hand.

    `on_started` is told what the child's process holds before there is a model in it, `on_broken`
    how it ended where it did by itself, just before this process ends too. The child runs in this
    environment, None: in this process's own. Raises the ContainerError that the child does.
    """

    def __init__(
        self,
        spec: LoadSpec,
        *,
        on_started: Callable[[int], None] = lambda held: None,
        on_broken: Callable[[Failure], None] = lambda failure: None,
        environment: ModelEnvironment | None = None,
    ) -> None:
        self.input_type = spec.input_type
        self.n_features: int | None = None
        self.signature = Signature(input_type=spec.input_type)
        self.failures = RecentFailures()
        # What the child last told of its batches.
        self.statistics = Statistics()
        self._link: ChildLink | None = None
        self._asked = 0
        self._ready = False
        self._draining = False
        self._stopping = False
        self._on_broken = on_broken
        self._folder = new_folder()
        self._busy = new_memory()
        try:
            self.process, self.admissions, self._output = _start(
                spec, folder=self._folder, environment=environment, busy=self._busy.fileno()
            )
            self._wait_until_loaded(on_started)
        except BaseException:
            self.close()
            raise
        self._ready = True
        threading.Thread(target=self._listen, name="box.told", daemon=True).start()
        self._watching = threading.Thread(target=self._watch, name="box", daemon=True)
        self._watching.start()

    @property
    def busy_for(self) -> float:
        """For how many seconds the batch under way has been, 0.0 where there is none."""
        return busy_for(self._busy)

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Ask from this process, for peers whose streams can't be handed over."""
        self._asked = (self._asked + 1) & 0xFFFF_FFFF
        try:
            return self._linked().ask(self._asked, inputs)
        except (OSError, ConnectionLost, ProtocolError):
            # Out of step, it is of no more use; its death is this process's. That is the answer to
            # the batch: those who asked find out themselves which of its inputs it died of.
            self.process.kill()
            self._watching.join()
            raise

    def warm_up(self) -> None:
        """The child has done that."""

    def drain(self) -> None:
        """Have the child ask its peers to leave, and end once they have."""
        self._draining = True
        self.admissions.drain()

    def wait_drained(self, timeout: float) -> bool:
        """After drain(), for `timeout` seconds: whether the child has ended by itself."""
        self._watching.join(timeout)
        return not self._watching.is_alive()

    def close(self) -> None:
        self._stopping = True
        if hasattr(self, "process"):
            if self._link is not None:
                self._link.close()
            self.admissions.close()  # for the child the end of its work
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOPPED_WITHIN_S if self._ready else 0)
            end_group(self.process)
            self._output.wait()
            if not self._ready:  # else whoever listens closes it
                asked_for(self.process.stdout).close()
        self._busy.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _linked(self) -> ChildLink:
        if self._link is None:
            ours, theirs = socket.socketpair()
            self._link = ChildLink(ours)
            with theirs:
                self.admissions.admit(theirs.fileno())
        return self._link

    def _wait_until_loaded(self, on_started: Callable[[int], None]) -> None:
        told = self._told()
        if told is not None and "base_bytes" in told:
            # Once, before its model: its memory limit counts from there.
            on_started(min(int(told["base_bytes"]), private_bytes(self.process.pid)))
            told = self._told()
        if told is None:
            ended = self._how_it_ended()
            reason = f"{ended.error}, {WHILE_LOADING}"
            raise error_of({"error": reason, "traceback": ended.traceback})
        if not told.get("ok"):
            raise error_of(told)
        self.n_features = told_features(told.get("n_features"))
        self.signature = read_told(told.get("signature"), input_type=self.input_type)

    def _how_it_ended(self) -> Failure:
        """Of a child that has ended by itself: what it wrote last, or where it broke."""
        reason = f"its process ended with {_end_of(self.process)}"
        self._output.wait()
        words = self._output.last_words()
        failure = broken(reason, output=words)
        said = "" if failure.traceback else safe_text(last_line(words))
        return msgspec.structs.replace(failure, error=f"{reason} ({said})") if said else failure

    def _told(self) -> dict[str, Any] | None:
        """The child's next line; None once there is none."""
        line = asked_for(self.process.stdout).readline(LONGEST_LINE)
        if not line:
            return None
        with suppress(ValueError, RecursionError):
            told = json.loads(line)
            if isinstance(told, dict):
                return told
        raise LoadFailed(f"its process spoke out of turn: {line[:200]!r}")

    def _listen(self) -> None:
        """Hear of what the child counts; one that isn't understood is of no more use."""
        try:
            with asked_for(self.process.stdout):
                self._go_on_listening()
        except (LoadFailed, msgspec.ValidationError) as error:
            logger.warning("the model's process is not understood: %s", error)
        self.process.kill()

    def _go_on_listening(self) -> None:
        while (told := self._told()) is not None:
            if "failure" in told:
                self.failures.merge(msgspec.convert(told["failure"], Failure))
            else:
                self.statistics = _shown(msgspec.convert(told.get("statistics"), Statistics))

    def _watch(self) -> None:
        """Die with the model, as a process does whose model breaks it, unless it was to end.

        What it has forked may live on with its pipes and its socket open, so that only its end
        itself can be waited for.
        """
        self.process.wait()
        # Libraries break as they are torn down: no batch is lost by that.
        if self._stopping or (self._draining and not self.busy_for):
            return
        end_group(self.process)
        ended = self._how_it_ended()
        if not self._stopping:
            logger.error("the model is lost: %s", ended.error)
            shutil.rmtree(self._folder, ignore_errors=True)
            try:
                self._on_broken(ended)
            finally:
                os._exit(EX_SOFTWARE)


def _shown(statistics: Statistics) -> Statistics:
    """What a model's process tells, fit to be shown."""
    if statistics.last_error is None:
        return statistics
    return msgspec.structs.replace(statistics, last_error=safe_text(statistics.last_error))


def _start(
    spec: LoadSpec, *, folder: Path, environment: ModelEnvironment | None, busy: int
) -> tuple[subprocess.Popen[bytes], Admissions, Overheard]:
    ours, theirs = socket.socketpair()
    with theirs:
        program = ["-m", "serving.container", "answer", *spec.options()]
        program += ["--descriptor", str(theirs.fileno()), "--busy", str(busy)]
        known = scrubbed_environment(os.environ, home=folder)
        known |= dict.fromkeys(THREAD_VARIABLES, str(spec.threads))
        try:
            process = subprocess.Popen(
                model_command(program, write=folder, spec=spec, environment=environment),
                cwd=ROOT,
                env=known,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno(), busy],
                # Not a session, of which the kernel may make a group of its own to share processors
                # with: there its niceness would count for nothing, and each batch wait its turn.
                process_group=0,
                preexec_fn=set_parent_death_signal,  # one call to the kernel, no more
            )
        except OSError as error:
            ours.close()
            raise LoadFailed(f"its process cannot be started: {error}") from error
    return process, Admissions(ours), Overheard(asked_for(process.stderr), name="box.stderr")


def _end_of(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return signal_text(-code) if code < 0 else f"exitcode {code}"
