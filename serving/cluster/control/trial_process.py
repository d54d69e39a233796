"""The process that a version is tried out in: executed for it, or forked from a warmed parent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import msgspec

from serving.container import confined
from serving.container.confined import OURS, scrubbed_environment
from serving.container.dying import end_group, set_parent_death_signal
from serving.container.limits import THREAD_VARIABLES
from serving.container.output import asked_for
from serving.container.programs import ROOT, ModelEnvironment, model_command
from serving.container.spec import LoadSpec
from serving.container.warmed import (
    LARGEST_REQUEST,
    PRELOADED,
    STARVED_S,
    Request,
    Told,
    waited_s,
)

# Whoever is serving on this machine goes first.
LOW_PRIORITY = ("nice", "-n", "10")
# A parent that nobody has asked for so long ends: it holds some 100 MiB.
IDLE_S = 20.0
LARGEST_ANSWER = 1 << 10
OWN_PARENT = {runtime: runtime for runtime in PRELOADED}


class ParentLost(Exception):
    """The warmed parent ended, or would not fork; the next check does without it."""


class TrialProcess(Protocol):
    """A process that leads a group of its own, with the ends of its pipes."""

    @property
    def pid(self) -> int | None:
        """None until it is there."""

    @property
    def stdin(self) -> IO[bytes]: ...
    @property
    def stdout(self) -> IO[bytes]: ...
    @property
    def stderr(self) -> IO[bytes]: ...
    @property
    def is_starved(self) -> bool:
        """Whether others kept it from a core for so long that it should be tried otherwise."""

    def wait(self, seconds: float) -> int | None:
        """Return its exit code, negative for a signal; None where it goes on for longer."""

    def send_signal(self, number: int) -> None: ...
    def end(self) -> None:
        """End it in every case, with those that it has started."""


@dataclass(frozen=True, kw_only=True)
class TrialProgram:
    """What `serving.container` is told, and where: it may write into `folder`."""

    arguments: Sequence[str]
    spec: LoadSpec
    folder: Path
    kept: int | None = None

    @property
    def variables(self) -> dict[str, str]:
        known = scrubbed_environment(os.environ, home=self.folder)
        return known | dict.fromkeys(THREAD_VARIABLES, str(self.spec.threads))


class ExecutedTrial:
    """Has a Python of its own, this one's or that of an environment."""

    def __init__(
        self,
        program: TrialProgram,
        *,
        environment: ModelEnvironment | None,
        gives_way: bool = False,
    ) -> None:
        self._gives_way = gives_way
        kept = [] if program.kept is None else [program.kept]
        arguments = ["-m", "serving.container", *program.arguments]
        arguments += [f"--kept={descriptor}" for descriptor in kept]
        command = model_command(
            arguments,
            write=program.folder,
            spec=program.spec,
            environment=environment,
            gives_way=gives_way,
        )
        self._process = subprocess.Popen(
            [*LOW_PRIORITY, *command],
            cwd=ROOT,
            env=program.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=kept,
            process_group=0,  # in a session of its own its niceness might count for nothing
            preexec_fn=set_parent_death_signal,  # one call to the kernel, no more
        )
        self.pid = self._process.pid
        self.stdin = asked_for(self._process.stdin)
        self.stdout = asked_for(self._process.stdout)
        self.stderr = asked_for(self._process.stderr)

    @property
    def is_starved(self) -> bool:
        return self._gives_way and waited_s(self.pid) > STARVED_S

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        end_group(self._process)


class ForkedTrial:
    """A fork of a warmed parent, which tells of it over `link` and ends it once that is closed."""

    def __init__(
        self,
        link: socket.socket,
        *,
        pipes: Sequence[IO[bytes]],
        gives_way: bool,
        on_end: Callable[[], object],
    ) -> None:
        self.stdin, self.stdout, self.stderr = pipes
        self._link = link
        self._gives_way = gives_way
        self._on_end = on_end
        # None until it is forked.
        self.pid: int | None = None
        self._code: int | None = None

    @property
    def is_starved(self) -> bool:
        return self._gives_way and self.pid is not None and waited_s(self.pid) > STARVED_S

    def wait(self, seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while self._code is None and (left := deadline - time.monotonic()) > 0:
            self._link.settimeout(left)
            try:
                text = self._link.recv(LARGEST_ANSWER)
            except TimeoutError:
                break
            except ConnectionError as error:
                raise ParentLost(str(error)) from error
            if not text:
                raise ParentLost("the process that forks checks has ended")
            told = msgspec.msgpack.decode(text, type=Told)
            self.pid, self._code = told.pid, told.code
        return self._code

    def send_signal(self, number: int) -> None:
        with suppress(OSError):  # it has ended
            self._link.send(bytes([number]))

    def end(self) -> None:
        self._link.close()
        self._on_end()


class WarmedParents:
    """The processes that have imported what a runtime needs, and fork its checks: each started
    when it is first wanted, and ended when nobody has wanted it for a while.

    `forks` are the runtimes whose checks are forked, each with the one that its parent has
    imported.
    """

    def __init__(self, *, idle_s: float = IDLE_S, forks: Mapping[str, str] = OWN_PARENT) -> None:
        self._idle_s = idle_s
        self._forks = forks
        self._parents: dict[str, _Parent] = {}
        self._lock = threading.Lock()

    def can_fork(self, runtime: str) -> bool:
        """Whether checks of this runtime have a parent, and this system what it takes."""
        return runtime in self._forks and hasattr(os, "pidfd_open")

    def fork(self, program: TrialProgram, *, gives_way: bool = False) -> ForkedTrial | None:
        """Have it run in a fork; None where its parent refuses.

        One that gives way may get no core for long, with a parent that must be started too.
        """
        request = _request(program, gives_way=gives_way)
        if len(request) > LARGEST_REQUEST:
            return None
        runtime = self._forks[program.spec.runtime]
        with self._lock:
            # One that is known may have ended, or be about to.
            for _ in range(2 if runtime in self._parents else 1):
                parent = self._parents.get(runtime)
                if parent is None:
                    parent = self._parents[runtime] = _Parent(runtime, gives_way=gives_way)
                try:
                    link, pipes = parent.fork(request, kept=program.kept)
                except OSError:
                    self._parents.pop(runtime).end()
                    continue
                on_end = partial(self._ended, parent)
                return ForkedTrial(link, pipes=pipes, gives_way=gives_way, on_end=on_end)
            return None

    def end(self) -> None:
        """End all of them, and what they have forked."""
        with self._lock:
            for parent in self._parents.values():
                parent.end()
            self._parents.clear()

    def _ended(self, parent: _Parent) -> None:
        """One of its forks has: look later whether another one has come."""
        with self._lock:
            parent.under_way -= 1
            timer = threading.Timer(self._idle_s, self._end_idle, args=(parent, parent.forked))
        timer.daemon = True
        timer.start()

    def _end_idle(self, parent: _Parent, forked: int) -> None:
        """End it unless it has forked more than that, or is at it."""
        with self._lock:
            if parent.under_way or parent.forked > forked:
                return
            parent.end()
            for runtime in [name for name, known in self._parents.items() if known is parent]:
                del self._parents[runtime]


class _Parent:
    """One of them. It ends when its socket closes, so never later than this process."""

    def __init__(self, runtime: str, *, gives_way: bool) -> None:
        # How many it was asked for, and how many of them have not ended.
        self.forked = self.under_way = 0
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = ["--descriptor", str(theirs.fileno()), "--runtime", runtime]
        options += ["--give-way"] if gives_way else []
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(*LOW_PRIORITY, sys.executable, "-P", confined.__file__, "--confined", "--"),
                    *("-m", "serving.container.warmed", *options),
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

    def fork(
        self, request: bytes, *, kept: int | None
    ) -> tuple[socket.socket, Sequence[IO[bytes]]]:
        """Return the link to the fork, and its pipes. Raises OSError where it can't be asked."""
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [_pipe(reads=False), _pipe(reads=True), _pipe(reads=True)]
        ours, given = [pipe for pipe, _ in pipes], [other for _, other in pipes]
        passed = [*given, theirs.fileno(), *([] if kept is None else [kept])]
        try:
            socket.send_fds(self._requests, [request], passed)
        except OSError:
            for pipe in ours:
                pipe.close()
            link.close()
            raise
        finally:
            theirs.close()
            for descriptor in given:
                os.close(descriptor)
        self.forked += 1
        self.under_way += 1
        return link, ours

    def end(self) -> None:
        self._requests.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._process.kill()
        self._process.wait()


def _request(program: TrialProgram, *, gives_way: bool) -> bytes:
    hide = [os.environ[name] for name in OURS if os.environ.get(name)]
    return msgspec.msgpack.encode(
        Request(
            arguments=list(program.arguments),
            environment=program.variables,
            write=[str(program.folder)],
            read=[str(program.spec.artifact)],
            hide=hide,
            shared_mb=program.spec.memory_limit_mb,
            gives_way=gives_way,
        )
    )


def _pipe(*, reads: bool) -> tuple[IO[bytes], int]:
    """A pipe: this process's end of it, which reads or writes, and the other one."""
    read, write = os.pipe()
    return (os.fdopen(read, "rb"), write) if reads else (os.fdopen(write, "wb"), read)
