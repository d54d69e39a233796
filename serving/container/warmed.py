"""``python -m serving.container.warmed``: has imported what most models need, and forks checks.

To import scikit-learn takes far more of a processor than to load a model and have it answer. This
process has done that once. It was executed with an environment of a few names, holds no secret, and
runs no code but ours. Each check is a fork of its own, which confines itself before it touches an
artifact, and nothing of which comes back.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import random
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from serving.container.confined import WITHOUT_LANDLOCK, confine, give_way
from serving.container.dying import set_parent_death_signal

# What versions of these runtimes need is imported beforehand.
CHECK = "serving.container.__main__"
PRELOADED = {"sklearn": (CHECK, "serving.container.runtimes.sklearn", "sklearn.linear_model")}
# Standard input, output and error, and the link by which a check is told of.
DESCRIPTORS = 4
LARGEST_REQUEST = 1 << 18
# For no longer than this anybody waits for a core that nobody else wants.
STARVED_S, LOOK_S = 3.0, 0.1
# A thread that has done its work is gone within this.
ENDING_S = 0.001


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what `serving.container` is told, and what its process is confined to.

    One that `gives_way` runs where nobody else wants to. A fifth descriptor, where one comes with
    it, is of the inputs that were kept.
    """

    arguments: list[str]
    environment: dict[str, str]
    write: list[str]
    read: list[str]
    hide: list[str]
    shared_mb: int | None
    gives_way: bool


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a check: its process, and how that ended, with a signal as a negative code.

    As long as its link is open the process' number stays its own.
    """

    pid: int
    code: int | None = None


class _Check:
    """A fork, and the link to whoever wants to know of it."""

    def __init__(self, pid: int, *, link: socket.socket) -> None:
        self.pid = pid
        self.link = link
        self.pidfd = os.pidfd_open(pid)

    def tell(self, code: int | None = None) -> None:
        with suppress(OSError):  # nobody wants to know any more
            self.link.send(msgspec.msgpack.encode(Told(pid=self.pid, code=code)))

    def tell_end(self) -> None:
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # noqa: S101  # without WNOHANG
        exited = ended.si_code == os.CLD_EXITED
        self.tell(ended.si_status if exited else -ended.si_status)

    def end(self) -> None:
        """With all that it has started; its number may be another's from now on."""
        for kill in (os.killpg, os.kill):  # it may not lead its group yet
            with suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.link.close()


class Forks:
    """Forks what is asked for through `requests`, until that is closed."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._checks: list[_Check] = []

    def run(self) -> None:
        self._selector.register(self._requests, selectors.EVENT_READ, self._take)
        while True:
            # One at a time: it may end what the others are of, and their numbers be given anew.
            for key, _ in self._selector.select()[:1]:
                if key.fileobj is not self._requests:
                    key.data()
                elif not self._take():
                    return

    def end(self) -> None:
        for check in self._checks:
            check.end()

    def _take(self) -> bool:
        """Fork once; False where there is nobody left to ask."""
        text, descriptors, _, _ = socket.recv_fds(
            self._requests, LARGEST_REQUEST, DESCRIPTORS + 1, socket.MSG_CMSG_CLOEXEC
        )
        if not text:
            return False
        request = msgspec.msgpack.decode(text, type=Request)
        pid = os.fork()
        if pid == 0:
            self._become(request, descriptors=descriptors)
        with suppress(OSError):  # it has done so itself
            os.setpgid(pid, pid)
        link = socket.socket(fileno=descriptors.pop(DESCRIPTORS - 1))
        for descriptor in descriptors:
            os.close(descriptor)
        self._follow(_Check(pid, link=link))
        return True

    def _follow(self, check: _Check) -> None:
        self._checks.append(check)
        check.tell()

        def ended() -> None:
            self._selector.unregister(check.pidfd)
            check.tell_end()

        def asked() -> None:
            number = b""
            with suppress(ConnectionError):
                number = check.link.recv(1)
            if number:
                os.kill(check.pid, number[0])
                return
            self._checks.remove(check)
            for registered in (check.link, check.pidfd):
                with suppress(KeyError):
                    self._selector.unregister(registered)
            check.end()

        self._selector.register(check.pidfd, selectors.EVENT_READ, ended)
        self._selector.register(check.link, selectors.EVENT_READ, asked)

    def _become(self, request: Request, *, descriptors: list[int]) -> NoReturn:
        """In the fork: be the check, and end with it."""
        code = 1
        try:
            os.setpgid(0, 0)
            set_parent_death_signal()
            self._selector.close()
            self._requests.close()
            for check in self._checks:
                check.link.close()
                os.close(check.pidfd)
            code = be_check(request, descriptors=descriptors)
        except BaseException:  # nothing of it may come back
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)


def be_check(request: Request, *, descriptors: list[int]) -> int:
    """Be this check, confined, with these descriptors; return its exit code."""
    for place, descriptor in enumerate(descriptors[: DESCRIPTORS - 1]):
        os.dup2(descriptor, place)
    for descriptor in descriptors[:DESCRIPTORS]:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    tempfile.tempdir = None
    if request.gives_way:
        give_way()
    _draw_anew()
    if not confine(
        write=[Path(path) for path in request.write],
        read=[Path(path) for path in request.read],
        hide=[Path(path) for path in request.hide],
        sockets=False,
        shared_mb=request.shared_mb,
    ):
        print(WITHOUT_LANDLOCK, file=sys.stderr)
    kept = [f"--kept={descriptor}" for descriptor in descriptors[DESCRIPTORS:]]
    main_of_check = importlib.import_module(CHECK).main
    return int(main_of_check([*request.arguments, *kept]))


def _draw_anew() -> None:
    """No two forks draw the same random numbers."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def import_for(runtime: str, *, giving_way: bool) -> None:
    """Import what versions of the runtime need; where it gives way in a thread, as this one is to
    go on as it is. Raises TimeoutError where others have kept it from a core for too long.
    """
    modules = PRELOADED[runtime]
    if not giving_way:
        for name in modules:
            importlib.import_module(name)
        return

    def work() -> None:
        give_way()
        for name in modules:
            importlib.import_module(name)

    thread = threading.Thread(target=work, name="imports", daemon=True)
    thread.start()
    # It is said to have ended before it has: it gives way to this one, too.
    there = Path(f"/proc/self/task/{thread.native_id}")
    while there.exists():
        thread.join(LOOK_S)
        time.sleep(ENDING_S)
        if waited_s(os.getpid()) > STARVED_S:
            raise TimeoutError("others want all that there is of processors")


def waited_s(pid: int) -> float:
    """For how long a thread of this process, or of those that it started, wanted to run and others
    did, at most; 0 where the kernel doesn't tell.
    """
    longest = 0.0
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            longest = max(longest, _waited_s(thread))
            with suppress(OSError):
                children = (thread / "children").read_text().split()
                longest = max([longest, *map(waited_s, map(int, children))])
    return longest


def _waited_s(thread: Path) -> float:
    with suppress(OSError, ValueError, IndexError):
        return int((thread / "schedstat").read_text().split()[1]) / 1e9
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--descriptor", type=int, required=True, help="of the socket of requests")
    parser.add_argument("--runtime", required=True, choices=PRELOADED)
    parser.add_argument("--give-way", action="store_true", help="while it imports")
    arguments = parser.parse_args()
    # Nothing that is imported is garbage: to look through it, again and again, was a tenth of it.
    gc.disable()
    import_for(arguments.runtime, giving_way=arguments.give_way)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        sys.exit("what was imported has started a thread, with which nothing can be forked")
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=arguments.descriptor) as requests:
        forks = Forks(requests)
        try:
            forks.run()
        finally:
            forks.end()


if __name__ == "__main__":
    main()
