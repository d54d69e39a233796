"""Processes of a stack: found by mark and session, ended for certain, tied to the launcher.

Run as a program it is supervisord's event listener that ends the children of a program that died.
supervisord restarts a program killed with `kill -9`, but knows nothing of that program's children:
an orphaned web worker would go on taking connections, an orphaned replica batches.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Marks each process of a stack, so that what a crash left behind can be found and stopped.
MARK = "CLIPPER_STACK"
SESSION_FILE = "supervisord.session"
KILL_SECONDS = 5.0


def dying_with_its_parent() -> Callable[[], None] | None:
    """A `preexec_fn`: the child gets SIGTERM when the launcher dies, even of `kill -9` (Linux)."""
    if sys.platform != "linux":
        return None
    launcher = os.getpid()
    # Loaded before the fork: after it only a plain call is safe.
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(1, signal.SIGTERM)
        if os.getppid() != launcher:  # it died in between
            os._exit(1)

    return tie


def processes_of(var: Path) -> list[int]:
    """Every process of the stack on `var` (Linux; elsewhere none)."""
    mark = f"{MARK}={var}".encode()
    session = in_session(_noted_session(var, mark=mark))
    models = {pid for pid in session if _is_confined(pid) and _runs(pid)}
    return [
        pid
        for pid in all_processes()
        if (pid in models or mark in _environment_of(pid)) and pid != os.getpid()
    ]


def all_processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def in_session(session: int) -> list[int]:
    """Every process of a session; none of session 0."""
    return [pid for pid in all_processes() if session and _session_of(pid) == session]


def note_session(var: Path, *, leader: int) -> None:
    """Note the session of a stack's processes, for a later start that has to end the rest of it."""
    (var / SESSION_FILE).write_text(f"{_pid_space()} {leader}")


def _noted_session(var: Path, *, mark: bytes) -> int:
    """Return the session of the stack on `var`, 0 if its number may be somebody else's by now."""
    try:
        space, _, leader = (var / SESSION_FILE).read_text().rpartition(" ")
    except OSError:
        return 0
    is_other = Path("/proc", leader).exists() and mark not in _environment_of(int(leader))
    return 0 if space != _pid_space() or is_other else int(leader)


def _pid_space() -> str:
    """Name what gives out process numbers: this start of the machine, or the container in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown"


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _runs(pid: int) -> bool:
    """Return whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _is_confined(pid: int) -> bool:
    try:
        return "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Result of ending processes: the ids found, those that took a KILL, and those left."""

    found: frozenset[int]
    killed: frozenset[int]
    left: frozenset[int]


def end_all(find: Callable[[], list[int]], *, grace_seconds: float) -> Ended:
    """End whatever `find` finds: TERM, and after the grace time KILL."""
    found = find()
    _send(found, signal_number=signal.SIGTERM)
    stubborn = _wait_until_gone(find, seconds=grace_seconds)
    _send(stubborn, signal_number=signal.SIGKILL)
    left = _wait_until_gone(find, seconds=KILL_SECONDS) if stubborn else []
    ended = {*found, *stubborn}.difference(left)
    # An ending process has lost its environment before its files, listening sockets among them.
    _wait_until_gone(lambda: [pid for pid in ended if _runs(pid)], seconds=KILL_SECONDS)
    return Ended(
        found=frozenset(found) | frozenset(stubborn),
        killed=frozenset(stubborn),
        left=frozenset(left),
    )


def _wait_until_gone(find: Callable[[], list[int]], *, seconds: float) -> list[int]:
    """Wait until nothing is found, at most so long; returns what is still there."""
    deadline = time.monotonic() + seconds
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _send(pids: list[int], *, signal_number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def listen() -> None:
    """At each event of a program that ended look for orphans, until supervisord ends this too."""
    var = Path(os.environ["CLIPPER_VAR"])
    for _ in events():
        end_all(lambda: orphans_of(var), grace_seconds=3.0)


def events() -> Iterator[str]:
    """Yield what supervisord tells of each event, which counts as handled by the next one."""
    while True:
        print("READY", flush=True)
        header = sys.stdin.readline()
        if not header:
            return
        fields = dict(field.split(":", 1) for field in header.split())
        yield sys.stdin.read(int(fields["len"]))
        print("RESULT 2\nOK", end="", flush=True)


def orphans_of(var: Path) -> list[int]:
    """Processes whose group has lost its leader: each program leads the group of its children, and
    each model that of its own.
    """
    session = os.getppid() if os.getsid(0) == os.getppid() else 0
    return [pid for pid in {*processes_of(var), *in_session(session)} if _is_orphan(pid)]


def _is_orphan(pid: int) -> bool:
    try:
        leader = os.getpgid(pid)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{leader}").exists()


if __name__ == "__main__":
    listen()
