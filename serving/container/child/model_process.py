"""The process of one model: forked by a fork server, or executed in a version's own environment."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from serving.container.child.fork_server import LARGEST_REQUEST, ForkRequest, ProcessNews
from serving.container.child.kill import end_group, set_parent_death_signal
from serving.container.failures.output import required_pipe
from serving.container.sandbox import confined
from serving.container.sandbox.confined import (
    ALREADY_CONFINED,
    Confinement,
    confined_command,
    scrubbed_environment,
)
from serving.container.sandbox.limits import THREAD_VARIABLES
from serving.container.spec import LoadSpec

ROOT = Path(__file__).resolve().parents[3]
# A failure's line: its traceback and its message, with each letter escaped.
LONGEST_LINE = 1 << 18
ENDED_WITHIN_S = 5.0


class ServerLost(Exception):
    """The fork server ended, or doesn't fork."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEnvironment:
    """The virtual environment of a version, and the folder of the Python that it is made of."""

    folder: Path
    prefix: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


@dataclass(frozen=True, kw_only=True)
class ModelProgram:
    """Arguments of `serving.container`, its folder, and a descriptor with the option for it."""

    arguments: Sequence[str]
    spec: LoadSpec
    folder: Path
    passed: tuple[str, int] | None = None

    @property
    def variables(self) -> dict[str, str]:
        known = scrubbed_environment(os.environ, home=self.folder)
        return known | dict.fromkeys(THREAD_VARIABLES, str(self.spec.threads))

    def confinement(self, *read: Path) -> Confinement:
        return Confinement(
            write=[self.folder],
            read=[self.spec.artifact, *read],
            sockets=self.spec.runtime == "command",  # its check asks it over a Unix socket
            shared_mb=self.spec.memory_limit_mb,
        )

    def request(self) -> bytes:
        request = ForkRequest(
            arguments=list(self.arguments),
            environment=self.variables,
            confinement=self.confinement().encoded(),
            passed=self.passed[0] if self.passed else "",
        )
        return msgspec.msgpack.encode(request)


class ExecutedProcess:
    """A Python of its own: this one's, or that of an environment."""

    def __init__(
        self, program: ModelProgram, *, environment: ModelEnvironment | None, nice: int = 0
    ) -> None:
        passed = [program.passed[1]] if program.passed else []
        arguments = ["-m", "serving.container", *program.arguments]
        arguments += [f"{program.passed[0]}={program.passed[1]}"] if program.passed else []
        read, python = [], None
        if environment is not None:
            read, python = [environment.folder, environment.prefix], environment.python
        command = confined_command(arguments, program.confinement(*read), other_python=python)
        self._process = subprocess.Popen(
            [*nice_command(nice), *command],
            cwd=ROOT,
            env=program.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=passed,
            process_group=0,  # in a session of its own its niceness might count for nothing
            preexec_fn=set_parent_death_signal,  # one call to the kernel, no more
        )
        self.pid = self.works_as = self._process.pid
        self.stdin = required_pipe(self._process.stdin)
        self.stdout = required_pipe(self._process.stdout)
        self.stderr = required_pipe(self._process.stderr)

    def wait(self, seconds: float | None) -> int | None:
        """Return its exit code, negative for a signal; None if it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        end_group(self._process)


class ForkedProcess:
    """A fork of a fork server, which reports on it over `link` and ends it when that closes.

    It `works_as` its server until it is forked.
    """

    def __init__(self, link: socket.socket, *, pipes: Sequence[IO[bytes]], server: int) -> None:
        self.stdin, self.stdout, self.stderr = pipes
        self.pid: int | None = None
        self.works_as = server
        self._link = link
        self._reading = threading.Lock()
        self._code: int | None = None

    def wait(self, seconds: float | None) -> int | None:
        """Return its exit code, None if it still runs; raises ServerLost."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._reading:
            while self._code is None:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
                self._link.settimeout(left)
                try:
                    self._read_news()
                except TimeoutError:
                    break
                if deadline is not None and time.monotonic() >= deadline:
                    break
            return self._code

    def send_signal(self, number: int) -> None:
        with suppress(OSError):  # it has ended
            self._link.send(bytes([number]))

    def end(self) -> None:
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)
        with self._reading, suppress(ServerLost, OSError):
            self._link.settimeout(ENDED_WITHIN_S)
            while True:  # until the server closes the link, as it does once all have ended
                self._read_news()
        self._link.close()

    def _read_news(self) -> None:
        try:
            text = self._link.recv(1 << 10)
        except ConnectionError as error:
            raise ServerLost(str(error)) from error
        if not text:
            raise ServerLost("the process that forks models has ended")
        news = msgspec.msgpack.decode(text, type=ProcessNews)
        self.pid, self._code = news.pid, news.code
        self.works_as = news.pid


ModelProcess = ExecutedProcess | ForkedProcess


class ForkServer:
    """A server that forks models' processes, started when needed, and again if it has ended."""

    def __init__(
        self, *, nice: int = 0, idle_s: float | None = None, imports_sklearn: bool = True
    ) -> None:
        self._nice = nice
        self._idle_s = idle_s
        self._imports_sklearn = imports_sklearn
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self) -> None:
        """Start it unless it runs. Its forks call nothing but `fork`."""
        with self._lock:
            self._start()

    def fork(self, program: ModelProgram) -> ForkedProcess | None:
        """Have the server fork the program; None where that can't be done."""
        request = program.request()
        if len(request) > LARGEST_REQUEST:
            return None
        with self._lock:
            for _ in range(2):
                if not self._owner or self._owner == os.getpid():
                    self._start()
                try:
                    return self._ask(request, program)
                except OSError:  # it has ended since
                    continue
        return None

    def end(self) -> None:
        """End it, and all that it has forked."""
        with self._lock:
            self._close()

    def _start(self) -> None:
        if not hasattr(os, "pidfd_open"):
            return
        if self._process is not None:
            code = self._process.poll()
            if code is None or code > 0:  # it runs, or it can't: models are executed then
                return
        self._close()
        self._owner = os.getpid()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = [f"--descriptor={theirs.fileno()}"]
        options += [f"--idle-s={self._idle_s}"] if self._idle_s is not None else []
        options += [] if self._imports_sklearn else ["--without-sklearn"]
        module = "serving.container.child.fork_server"
        with theirs:
            self._process = subprocess.Popen(
                [
                    *nice_command(self._nice),
                    *(sys.executable, "-P", confined.__file__, ALREADY_CONFINED),
                    *("-m", module, *options),
                ],
                cwd=ROOT,
                env=scrubbed_environment(os.environ, home=ROOT)
                | dict.fromkeys(THREAD_VARIABLES, "1"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )

    def _ask(self, request: bytes, program: ModelProgram) -> ForkedProcess:
        """Raise OSError if the server has ended."""
        if self._requests is None or self._process is None:
            raise ConnectionError("there is no fork server")
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [_pipe(reads=False), _pipe(reads=True), _pipe(reads=True)]
        ours, given = [pipe for pipe, _ in pipes], [other for _, other in pipes]
        passed = [program.passed[1]] if program.passed else []
        try:
            socket.send_fds(self._requests, [request], [*given, theirs.fileno(), *passed])
        except OSError:
            for pipe in ours:
                pipe.close()
            link.close()
            raise
        finally:
            theirs.close()
            for descriptor in given:
                os.close(descriptor)
        return ForkedProcess(link, pipes=ours, server=self._process.pid)

    def _close(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None and self._owner == os.getpid():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDED_WITHIN_S)
            self._process.kill()
            self._process.wait()
            self._process = None


def start_process(
    program: ModelProgram,
    *,
    server: ForkServer | None,
    environment: ModelEnvironment | None = None,
    nice: int = 0,
) -> ModelProcess:
    """Start a model's process: in its own environment if it has one, else as a fork if possible."""
    if environment is None and server is not None and (process := server.fork(program)):
        return process
    return ExecutedProcess(program, environment=environment, nice=nice)


def nice_command(nice: int) -> list[str]:
    return ["nice", "-n", str(nice)] if nice else []


def _pipe(*, reads: bool) -> tuple[IO[bytes], int]:
    """Return this process's end of a pipe, and the other one."""
    read, write = os.pipe()
    return (os.fdopen(read, "rb"), write) if reads else (os.fdopen(write, "wb"), read)
