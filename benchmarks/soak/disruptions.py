"""Disruptions of a stack while it is asked, each until the stack has recovered."""

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
import psutil

from benchmarks.processes import processes_by_role
from benchmarks.servers import is_up, waited_for
from benchmarks.soak.clients import BROKEN, REFUSED
from benchmarks.stack import ManagementFailed, Stack

# The model that is deployed, rolled back, scaled and configured; it has two versions in the demo.
MODEL, VERSIONS = "svm-linear", ("1", "2")
RECOVERY_SECONDS = 90.0
SETTLED_SECONDS = 1.0
# One after the other; the last is how every version begins.
CONFIGURATIONS: tuple[dict[str, object], ...] = (
    {"batching": "quantile_regression"},
    {"batching": "static", "max_batch_size": 16},
    {"batching": "none"},
    {"batching": "aimd", "max_batch_size": 64, "batch_wait_ms": 2},
    {"max_batch_size": None, "batch_wait_ms": "auto"},
)


class Disrupted:
    """The stack, and what can be done to it. Everything returns when all is well again."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def _live(self) -> str:
        return str(self._stack.call("GET", f"models/{MODEL}")["live_version"])

    def deploy(self) -> None:
        """Make the other version live."""
        live = self._live()
        self._stack.deploy(MODEL, version=next(v for v in VERSIONS if v != live))

    def roll_back(self) -> None:
        self._stack.roll_back(MODEL)

    def scale(self, replicas: int) -> None:
        self._stack.scale(MODEL, replicas=replicas)
        what, version = f"{replicas} replicas of {MODEL}", self._live()
        self._wait(lambda: len(self._ready(version)) == replicas, what=what)

    def configure(self) -> None:
        """Change how batches are made, several times."""
        version = self._live()
        for changes in CONFIGURATIONS:
            self._stack.call("PATCH", f"models/{MODEL}/versions/{version}", json=changes)
            time.sleep(SETTLED_SECONDS)

    def kill_replica(self) -> None:
        version = self._live()
        killed = self._ready(version)[0]
        os.kill(killed, signal.SIGKILL)
        another = lambda: (ready := self._ready(version)) and killed not in ready  # noqa: E731
        self._wait(another, what="another replica")

    def kill_cpu_worker(self) -> None:
        """With it go all of its replicas."""
        before = {replica["pid"] for replica in self._stack.replicas()}
        self.kill("worker")
        replicas = self._stack.replicas
        self._wait(
            lambda: before.isdisjoint(replica["pid"] for replica in replicas()), what="new replicas"
        )
        self._wait_until_ready()

    def web_workers(self) -> list[psutil.Process]:
        """The processes that answer: of several, not the one that watches them."""
        web = self._processes("predict")
        parents = {process.ppid() for process in web}
        return [process for process in web if process.pid not in parents]

    def kill(self, role: str, *, victim: psutil.Process | None = None) -> None:
        """Kill the topmost process of that role, unless told which."""
        before = self._processes(role)
        pids = {process.pid for process in before}
        killed = victim or next(process for process in before if process.ppid() not in pids)
        killed.kill()
        self._wait(lambda: not killed.is_running(), what=f"the end of {killed.pid}")
        self._wait(lambda: len(self._processes(role)) >= len(before), what=f"another {role}")
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        self._wait(lambda: is_up(f"{self._stack.url}/health/ready"), what="a ready stack")

    def _processes(self, role: str) -> list[psutil.Process]:
        return processes_by_role(self._stack.pid, replicas={}).get(role, [])

    def _ready(self, version: str) -> list[int]:
        """The process ids of the replicas of that version that serve."""
        wanted = (MODEL, version, "ready")
        return [
            replica["pid"]
            for replica in self._stack.replicas()
            if (replica["model"], replica["version"], replica["state"]) == wanted
        ]

    def _wait(self, condition: Callable[[], object], *, what: str) -> None:
        def holds() -> bool:
            try:
                return bool(condition())
            except (httpx.HTTPError, ManagementFailed, psutil.NoSuchProcess):
                return False  # of a part that is away just now

        waited_for(holds, seconds=RECOVERY_SECONDS, what=what)


class Disruption(NamedTuple):
    """`excuses` are the troubles that clients must have of it; `once`: in the first round only."""

    name: str
    begin: Callable[[Disrupted], None]
    excuses: tuple[str, ...] = ()
    once: bool = False


kill_web = lambda stack: stack.kill("predict", victim=stack.web_workers()[0])  # noqa: E731
# The web process is killed early and only once: of a long life more can be seen.
DISRUPTIONS = (
    Disruption("deploy", Disrupted.deploy),
    Disruption("kill a predict process", kill_web, (BROKEN, REFUSED), once=True),
    Disruption("roll back", Disrupted.roll_back),
    Disruption("kill the console", lambda stack: stack.kill("console")),
    Disruption("kill a replica", Disrupted.kill_replica),
    Disruption("scale up", lambda stack: stack.scale(3)),
    Disruption("kill Redis", lambda stack: stack.kill("redis"), (REFUSED,)),
    Disruption("change batching", Disrupted.configure),
    Disruption("kill the CPU worker", Disrupted.kill_cpu_worker),
    Disruption("scale down", lambda stack: stack.scale(1)),
    Disruption("kill control", lambda stack: stack.kill("scheduler")),
)
