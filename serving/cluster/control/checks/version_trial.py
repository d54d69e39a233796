"""Tries a version out in a process that is thrown away, before anything depends on it."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
from django.conf import settings

from core.specs import VersionSpec
from serving.cluster.load_specs import load_spec
from serving.container.check_report import AGREEMENT_S, CheckReport, Row, read_report
from serving.container.child.model_process import (
    LONGEST_LINE,
    ForkServer,
    ModelEnvironment,
    ModelProcess,
    ModelProgram,
    ServerLost,
    start_process,
)
from serving.container.failures.output import CHUNK, READ_WITHIN_S
from serving.container.failures.recent_failures import Failure, broken
from serving.container.failures.tracebacks import process_end
from serving.container.inputs.signature import read_reported, reported_features
from serving.container.sandbox.family import read_processes
from serving.container.sandbox.limits import process_bytes, usage_of
from serving.container.spec import LoadSpec
from serving.rpc.text import CUT, safe_text

NOTHING_TOLD = CheckReport()

# A check on a busy machine gets up to so many times its own time in addition.
MOST_QUEUED = 4


class _OverLimit(Exception):
    """A check's model takes too much; the text says of what."""


class Aborted(Exception):
    """The validation was given up without a verdict; `meanwhile` raises it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Outcome of a trial: the fault that keeps the version from serving, if any, and its output.

    `n_features` is how many numbers it takes, None where it doesn't say; `signature`, JSON, is all
    that is known of its inputs; `report` is what it made of sample inputs, and how quickly.
    """

    fault: str | None
    n_features: int | None = None
    signature: str = ""
    report: CheckReport = NOTHING_TOLD
    output: str = ""
    failure: Failure | None = None


def try_out(
    version: VersionSpec,
    *,
    artifact: Path,
    environment: ModelEnvironment | None = None,
    server: ForkServer | None = None,
    kept: Sequence[Row] = (),
    meanwhile: Callable[[], object] = lambda: None,
    **here: Any,
) -> Trial:
    """Have a process load the version and answer; returns how it went.

    Calls `meanwhile` each second; what that raises ends the process under test.
    """
    seconds = version.load_timeout_s + (AGREEMENT_S if kept else 0.0)
    spec = load_spec(version, artifact=artifact, trial=True, **here)
    largest = version.batching.max_size
    for forks in (server, None):
        with (
            suppress(ServerLost),
            _started(
                spec, largest=largest, kept=kept, server=forks, environment=environment
            ) as process,
        ):
            verdict = Tail(process.stdout, most=LONGEST_LINE)
            written = Tail(process.stderr, most=8192)
            try:
                code = _watched(
                    process,
                    verdict=verdict,
                    limit_mb=version.memory_limit_mb,
                    seconds=seconds,
                    meanwhile=meanwhile,
                )
            except _OverLimit as over:
                return failed_trial(str(over))
            break
    if code is None:
        fault = f"the model did not load and answer within {seconds:g} s"
        return failed_trial(fault, output=written.text())
    return _read_verdict(verdict.text(), output=written.text(), code=code, version=version)


def _watched(
    process: ModelProcess,
    *,
    verdict: Tail,
    limit_mb: int | None,
    seconds: float,
    meanwhile: Callable[[], object],
) -> int | None:
    """Wait for its end; None if its time is over before. Raises _OverLimit."""
    begun, queued = time.monotonic(), QueuedTime()
    base_bytes: int | None = None
    while (code := process.wait(1.0)) is None:
        late_s = min(queued.total(process.works_as), MOST_QUEUED * seconds)
        if time.monotonic() >= begun + seconds + late_s:
            break
        meanwhile()
        if process.pid is not None:
            if base_bytes is None and (base_bytes := _base_bytes(verdict.head)) is not None:
                base_bytes = min(base_bytes, process_bytes(process.pid))
            _check_limits(process.pid, base_bytes=base_bytes, limit_mb=limit_mb)
    if code is None:
        # It says what it is doing (`serving.container.failures.tracebacks`).
        process.send_signal(signal.SIGABRT)
        process.wait(1.0)
    return code


class QueuedTime:
    """Seconds for which processes could have run and other processes had every core (Linux)."""

    def __init__(self) -> None:
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}

    def total(self, pid: int) -> float:
        """Return what it is by now, after a look at the process that does the work."""
        with suppress(OSError, IndexError, ValueError):
            waited_s = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
            self._first.setdefault(pid, waited_s)
            self._last[pid] = waited_s
        return sum(self._last.values()) - sum(self._first.values())


def _check_limits(pid: int, *, base_bytes: int | None, limit_mb: int | None) -> None:
    """Raise _OverLimit if it has too much; without a base its model isn't loaded yet."""
    limit_mb = None if base_bytes is None else limit_mb
    _, fault = usage_of([pid], read_processes(), base_bytes=base_bytes or 0, limit_mb=limit_mb)
    if fault:
        raise _OverLimit(fault)


def _base_bytes(head: bytes) -> int | None:
    """Return the bytes that it held before its model, from its first line."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        return int(json.loads(head.partition(b"\n")[0])["base_bytes"])
    return None


def failed_trial(fault: str, *, output: str = "") -> Trial:
    """Return the trial of a model that didn't say what is wrong, with where it was if known."""
    failure = broken(fault, output=output)
    return Trial(fault=failure.summary, output=output, failure=failure)


class Tail:
    """Reads what a process writes as long as it does, and keeps the beginning and the end.

    Unread it would stand still once the pipe is full; all of it may be more than there is memory.
    """

    def __init__(self, pipe: IO[bytes], *, most: int) -> None:
        """`most` bytes of the beginning, and as many of the end."""
        self._pipe = pipe
        self._most = most
        self.head = b""
        self._tail: bytearray = bytearray()
        self._left_out = 0
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return what was written once the process has ended, printable."""
        self._thread.join(READ_WITHIN_S)  # it may have left somebody behind who holds the pipe
        gap = CUT.format(self._left_out).encode() if self._left_out else b""
        whole = self.head + gap + bytes(self._tail)
        return safe_text(whole.decode(errors="replace"), most=3 * self._most)

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), CHUNK):
                room = self._most - len(self.head)
                self.head += chunk[:room]
                self._tail += chunk[room:]
                if (over := len(self._tail) - self._most) > 0:
                    del self._tail[:over]
                    self._left_out += over


@contextmanager
def _started(
    spec: LoadSpec,
    *,
    largest: int | None,
    kept: Sequence[Row],
    server: ForkServer | None,
    environment: ModelEnvironment | None,
) -> Iterator[ModelProcess]:
    """Check a version, confined to a folder that goes with it, while the block lasts."""
    arguments = ["check", "--tell-base", *spec.options()]
    if largest is not None:
        arguments.append(f"--largest={largest}")
    if spec.secret:
        arguments.append("--secret-on-stdin")
    with (
        tempfile.TemporaryDirectory(prefix="clipper-check-", ignore_cleanup_errors=True) as name,
        _nameless(kept) as inputs,
    ):
        program = ModelProgram(
            arguments=arguments,
            spec=spec,
            folder=Path(name),
            passed=("--kept", inputs) if kept else None,
        )
        process = start_process(
            program, server=server, environment=environment, nice=settings.CLIPPER_CHECK_NICE
        )
        try:
            with suppress(BrokenPipeError), process.stdin as words:
                words.write(spec.secret.encode())
            yield process
        finally:
            process.end()


@contextmanager
def _nameless(rows: Sequence[Row]) -> Iterator[int]:
    """A file of them that is gone with whoever has it open, however they end; its descriptor."""
    with tempfile.TemporaryFile() as file:
        file.write(msgspec.msgpack.encode(rows))
        file.seek(0)
        yield file.fileno()


def _read_verdict(text: str, *, output: str, code: int, version: VersionSpec) -> Trial:
    try:
        last = json.loads(text.strip().rpartition("\n")[2])
        if last["ok"]:
            n_features = reported_features(last.get("n_features"))
            signature = read_reported(last.get("signature"), input_type=version.input_type)
            return Trial(
                fault=None,
                n_features=n_features,
                signature=signature.encoded(),
                report=read_report(last.get("report")),
                output=output,
            )
        error, traceback = str(last["error"]), str(last.get("traceback", ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        return failed_trial(_ended_without_a_word(code, version=version), output=output)
    failure = Failure(kind=error, error=error, traceback=traceback, count=1, last_at=time.time())
    return Trial(fault=failure.summary, output=output, failure=failure)


def _ended_without_a_word(code: int, *, version: VersionSpec) -> str:
    # Code that isn't Python may end its process if it is refused memory.
    limit = version.memory_limit_mb
    limited = "" if limit is None else f", or its memory limit of {limit} MiB is too low"
    return (
        f"the process that tried the model out ended with {process_end(code)}: the artifact may be "
        f"damaged, or made for another release of its library{limited}"
    )
