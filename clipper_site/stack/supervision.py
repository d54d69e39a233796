"""supervisord as the launcher's child, and `manage.py` commands beside it."""

import socket
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import (  # type: ignore[import-untyped]
    SupervisorTransport,
    UnixStreamHTTPConnection,
)

from clipper_site import ROOT
from clipper_site.stack.layout import Layout, keep_secret
from clipper_site.stack.processes import dying_with_its_parent, note_session
from clipper_site.stack.terminal import StackError

CONFIG = Path(__file__).with_name("supervisord.conf")
# The programs' stopwaitsecs added up, and a little: they stop one after the other.
STOP_SECONDS = 280.0


@contextmanager
def supervisord(
    layout: Layout, *, environment: Mapping[str, str], listening: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs while the block does; afterwards it and all its programs have ended."""
    with (layout.logs / "supervisord.err").open("ab") as errors:
        arguments = ["-m", f"{__package__}.supervisord", "-c", str(CONFIG)]
        child = start(
            arguments,
            environment=environment,
            stdout=errors,
            stderr=errors,
            pass_fds=[listening],
        )
    note_session(layout.var, leader=child.pid)
    try:
        yield child
    finally:
        end(child, seconds=STOP_SECONDS)


def start(
    arguments: Sequence[str], *, environment: Mapping[str, str], **options: Any
) -> subprocess.Popen[Any]:
    """Start a Python of ours in a session of its own: Ctrl-C reaches the launcher alone."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with_its_parent(),
        **options,
    )


def end(child: subprocess.Popen[Any], *, seconds: float = 5.0) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def lines_of(*arguments: str, environment: Mapping[str, str]) -> Generator[str]:
    """Yield the lines that a `manage.py` command prints; where it fails, what it says is raised."""
    with tempfile.TemporaryFile("w+") as errors:
        child = start(
            ["-m", "clipper_site", *arguments],
            environment=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert child.stdout is not None
        try:
            for line in child.stdout:
                yield line.rstrip()
            status = child.wait()
        finally:
            end(child)
            child.stdout.close()
        if status != 0:
            errors.seek(0)
            words = errors.read().strip().removeprefix("CommandError: ")
            raise StackError(words or f"manage.py {arguments[0]} failed with exit code {status}.")


def manage(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run a `manage.py` command in view of the person; a failing one is a StackError."""
    child = start(["-m", "clipper_site", *arguments], environment=environment)
    try:
        status = child.wait()
    finally:
        end(child)
    if status != 0:
        raise StackError(f"manage.py {arguments[0]} failed with exit code {status}; see above.")


def report(layout: Layout) -> str:
    """Each program's state and the last lines of each log, for a start that failed."""
    states: list[str] = []
    with suppress(StackError):
        programs = Supervisor(layout, seconds=10.0).programs().values()
        states = [f"{program.name}: {program.state.lower()}" for program in programs]
    tails = [_tail(file) for file in sorted(layout.logs.glob("*.log")) if file.stat().st_size]
    return "\n".join([*states, *tails])


def _tail(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines()[-12:]
    return "\n".join([f"--- {file}", *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of them as it is: its state in supervisord's words, and when it was started last."""

    name: str
    state: str
    pid: int = 0
    started_at: float = 0.0

    @property
    def runs(self) -> bool:
        """Return whether it runs or starts."""
        return self.state in ("RUNNING", "STARTING")

    @property
    def is_stopped(self) -> bool:
        """Return whether it was stopped, or never started; otherwise it runs or is broken."""
        return self.state == "STOPPED"


class TimedConnection(UnixStreamHTTPConnection):  # type: ignore[misc]
    """A connection that keeps to its timeout, as supervisor's own doesn't."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class TimedTransport(SupervisorTransport):  # type: ignore[misc]
    def __init__(self, path: Path, *, password: str, seconds: float) -> None:
        super().__init__("clipper", password, f"unix://{path}")
        self._get_connection = lambda: TimedConnection(path, seconds=seconds)


class Supervisor:
    """The supervisord of a running stack; `seconds` are the most that it may take to answer."""

    def __init__(self, layout: Layout, *, seconds: float = STOP_SECONDS) -> None:
        path = layout.run_dir / "supervisor.sock"
        if not path.exists():
            raise StackError(f"No stack runs in '{layout.var}'.")
        password = keep_secret(layout.control_password)
        transport = TimedTransport(path, password=password, seconds=seconds)
        # The address is of no use, but has to be one.
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def programs(self) -> dict[str, Program]:
        """Return the programs of its configuration, by name."""
        found = self._ask("supervisord can't be asked", "getAllProcessInfo")
        assert isinstance(found, list)
        return {
            each["name"]: Program(
                name=each["name"],
                state=each["statename"],
                pid=each.get("pid", 0),
                started_at=each.get("start", 0.0),
            )
            for each in found
        }

    def restart(self, program: str) -> None:
        """Stop a program, and start it; returns once it has run for a moment."""
        self._ask(f"{program} can't be stopped", "stopProcess", program)
        self._ask(f"{program} did not start again", "startProcess", program)

    def start(self, program: str) -> None:
        """Returns once it has run for a moment; where it can't, it stays stopped."""
        try:
            self._ask(f"{program} did not start", "startProcess", program)
        except StackError:
            with suppress(StackError):  # it was never tried, or has been given up
                self.stop(program)
            raise

    def stop(self, program: str) -> None:
        """Returns once it has ended."""
        self._ask(f"{program} can't be stopped", "stopProcess", program)

    def _ask(self, fault: str, method: str, *arguments: str) -> object:
        try:
            answer: object = getattr(self._proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            self._proxy("close")()  # an answer may still be on its way
            raise StackError(f"{fault}: {error}") from error
        return answer
