"""``python -m serving.container.child.fork_server``: forks the processes of models.

It has imported scikit-learn, which takes longer than loading most models; forks share the memory.
It holds no secret and runs no code but ours. Each fork confines itself before it opens an artifact.
"""

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
import traceback
from contextlib import suppress
from typing import NoReturn

import msgspec

from serving.container.child.kill import set_parent_death_signal
from serving.container.sandbox.confined import Confinement, confine, deny_new_privileges

MAIN = "serving.container.__main__"
PRELOADED = (
    MAIN,
    "serving.container.server.serve",
    # Imported to confine a process.
    "serving.container.sandbox.mounts",
    "serving.container.sandbox.own_user",
    "serving.container.sandbox.syscalls",
)
SKLEARN = ("serving.container.runtimes.sklearn", "sklearn.linear_model")
# Standard input, output and error, and the link to whoever asked.
DESCRIPTORS = 4
LARGEST_REQUEST = 1 << 18


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments, confinement, and the option (`passed`) for the number of a fifth descriptor."""

    arguments: list[str]
    environment: dict[str, str]
    confinement: str
    passed: str


class ProcessNews(msgspec.Struct, frozen=True, kw_only=True):
    """A fork's number, and its exit code once it has ended: negative for a signal."""

    pid: int
    code: int | None = None


class _Fork:
    def __init__(self, pid: int, *, link: socket.socket) -> None:
        self.pid = pid
        self.link = link
        self.pidfd = os.pidfd_open(pid)

    def report(self, code: int | None = None) -> None:
        with suppress(OSError):  # nobody listens any more
            self.link.send(msgspec.msgpack.encode(ProcessNews(pid=self.pid, code=code)))

    def end(self) -> None:
        """Kill it with all that it has started; its number may be reused from now on."""
        for kill in (os.killpg, os.kill):  # it may not lead its group yet
            with suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.link.close()


class Forks:
    """Forks on request until `requests` is closed, or no fork has run for `idle_s`."""

    def __init__(self, requests: socket.socket, *, idle_s: float | None = None) -> None:
        self._requests = requests
        self._idle_s = idle_s
        self._selector = selectors.DefaultSelector()
        self._forks: list[_Fork] = []

    def run(self) -> None:
        self._selector.register(self._requests, selectors.EVENT_READ, self._take)
        while True:
            ready = self._selector.select(None if self._forks else self._idle_s)
            if not ready and not self._forks:
                return
            # One at a time: it may end what the others are about, and their numbers be reused.
            for key, _ in ready[:1]:
                if key.fileobj is not self._requests:
                    key.data()
                elif not self._take():
                    return

    def end(self) -> None:
        for fork in self._forks:
            fork.end()

    def _take(self) -> bool:
        """Fork once; return False if nobody is left to ask."""
        text, descriptors, _, _ = socket.recv_fds(
            self._requests, LARGEST_REQUEST, DESCRIPTORS + 1, socket.MSG_CMSG_CLOEXEC
        )
        if not text:
            return False
        request = msgspec.msgpack.decode(text, type=ForkRequest)
        pid = os.fork()
        if pid == 0:
            self._become(request, descriptors=descriptors)
        with suppress(OSError):  # it has done so itself
            os.setpgid(pid, pid)
        link = socket.socket(fileno=descriptors.pop(DESCRIPTORS - 1))
        for descriptor in descriptors:
            os.close(descriptor)
        self._follow(_Fork(pid, link=link))
        return True

    def _follow(self, fork: _Fork) -> None:
        self._forks.append(fork)
        fork.report()

        def ended() -> None:
            self._selector.unregister(fork.pidfd)
            if end := os.waitid(os.P_PIDFD, fork.pidfd, os.WEXITED | os.WNOWAIT):
                exited = end.si_code == os.CLD_EXITED
                fork.report(end.si_status if exited else -end.si_status)

        def asked() -> None:
            number = b""
            with suppress(ConnectionError):
                number = fork.link.recv(1)
            if number:
                os.kill(fork.pid, number[0])
                return
            self._forks.remove(fork)
            for registered in (fork.link, fork.pidfd):
                with suppress(KeyError):
                    self._selector.unregister(registered)
            fork.end()

        self._selector.register(fork.pidfd, selectors.EVENT_READ, ended)
        self._selector.register(fork.link, selectors.EVENT_READ, asked)

    def _become(self, request: ForkRequest, *, descriptors: list[int]) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            set_parent_death_signal()
            self._selector.close()
            self._requests.close()
            for fork in self._forks:
                fork.link.close()
                os.close(fork.pidfd)
            code = run_request(request, descriptors=descriptors)
        except BaseException:  # nothing of it may come back
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)


def run_request(request: ForkRequest, *, descriptors: list[int]) -> int:
    """Confine this process and run the request with these descriptors; return its exit code."""
    for place, descriptor in enumerate(descriptors[: DESCRIPTORS - 1]):
        os.dup2(descriptor, place)
    for descriptor in descriptors[:DESCRIPTORS]:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = ["serving.container", *request.arguments]
    tempfile.tempdir = None
    # No two forks draw the same random numbers.
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    confine(Confinement.decoded(request.confinement))
    passed = [f"{request.passed}={descriptor}" for descriptor in descriptors[DESCRIPTORS:]]
    return int(importlib.import_module(MAIN).main([*request.arguments, *passed]))


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--descriptor", type=int, required=True, help="of the socket of requests")
    parser.add_argument("--idle-s", type=float, help="end after so long without a fork")
    parser.add_argument("--without-sklearn", action="store_true")
    arguments = parser.parse_args()
    deny_new_privileges()
    # Nothing that is imported is garbage: looking through it took a tenth of the time.
    gc.disable()
    for name in PRELOADED if arguments.without_sklearn else (*PRELOADED, *SKLEARN):
        with suppress(ImportError):  # scikit-learn need not be installed
            importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
        sys.exit("an import has started a thread, with which nothing can be forked")
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=arguments.descriptor) as requests:
        forks = Forks(requests, idle_s=arguments.idle_s)
        try:
            forks.run()
        finally:
            forks.end()


if __name__ == "__main__":
    main()
