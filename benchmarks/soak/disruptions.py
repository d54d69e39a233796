"""What happens to a stack while it is asked, each until the stack has recovered."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
import psutil

from benchmarks.command import Failed
from benchmarks.processes import processes_by_role
from benchmarks.servers import answers, waited_for
from benchmarks.stack import ManagementFailed, Stack

# The model that is deployed, rolled back, scaled and configured; it has two versions in the demo.
MODEL, VERSIONS = "svm-linear", ("1", "2")
RECOVERY_SECONDS = 90.0
SETTLED_SECONDS = 1.0
MORE_REPLICAS = 3
# One after the other; the last is how every version begins.
CONFIGURATIONS: tuple[dict[str, object], ...] = (
    {"batching": "quantile_regression"},
    {"batching": "static", "max_batch_size": 16},
    {"batching": "none"},
    {"batching": "aimd", "max_batch_size": 64, "batch_wait_ms": 2},
    {"max_batch_size": None, "batch_wait_ms": "auto"},
)


class NotRecovered(Failed):
    """The stack isn't what it was before, though it had time."""


class Disrupted:
    """The stack, and what can be done to it. Everything returns when all is well again."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def deploy(self) -> None:
        """Make the other version live."""
        live = self._stack.live_version(MODEL)
        self._stack.deploy(MODEL, version=next(v for v in VERSIONS if v != live))

    def roll_back(self) -> None:
        self._stack.roll_back(MODEL)

    def scale_up(self) -> None:
        self._scale(MORE_REPLICAS)

    def scale_down(self) -> None:
        self._scale(1)

    def _scale(self, replicas: int) -> None:
        self._stack.scale(MODEL, replicas=replicas)
        version = self._stack.live_version(MODEL)
        self._wait(
            lambda: len(self._ready(version)) == replicas, what=f"{replicas} replicas of {MODEL}"
        )

    def configure(self) -> None:
        """Change how batches are made, several times."""
        version = self._stack.live_version(MODEL)
        for changes in CONFIGURATIONS:
            self._stack.configure(MODEL, version=version, **changes)
            time.sleep(SETTLED_SECONDS)

    def kill_replica(self) -> None:
        version = self._stack.live_version(MODEL)
        before = self._ready(version)
        os.kill(before[0], signal.SIGKILL)
        self._wait(
            lambda: (after := self._ready(version)) and before[0] not in after,
            what="another replica",
        )

    def kill_cpu_worker(self) -> None:
        """With it go all of its replicas."""
        before = {replica["pid"] for replica in self._stack.replicas()}
        self._kill(self._topmost("worker"), role="worker")
        self._wait(
            lambda: before.isdisjoint(replica["pid"] for replica in self._stack.replicas()),
            what="new replicas",
        )
        self._wait_until_ready()

    def kill_control(self) -> None:
        self._kill(self._topmost("scheduler"), role="scheduler")

    def kill_redis(self) -> None:
        self._kill(self._topmost("redis"), role="redis")

    def kill_web(self) -> None:
        """One of the web processes: its connections break."""
        self._kill(self.web_workers()[0], role="web")

    def web_workers(self) -> list[psutil.Process]:
        """The processes that answer: of several, not the one that watches them."""
        web = self._processes("web")
        parents = {process.ppid() for process in web}
        return [process for process in web if process.pid not in parents]

    def _kill(self, victim: psutil.Process, *, role: str) -> None:
        before = len(self._processes(role))
        victim.kill()
        self._wait(lambda: not victim.is_running(), what=f"the end of {victim.pid}")
        self._wait(lambda: len(self._processes(role)) >= before, what=f"another {role}")
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        self._wait(lambda: answers(f"{self._stack.url}/health/ready"), what="a ready stack")

    def _topmost(self, role: str) -> psutil.Process:
        processes = self._processes(role)
        pids = {process.pid for process in processes}
        return next(process for process in processes if process.ppid() not in pids)

    def _processes(self, role: str) -> list[psutil.Process]:
        return processes_by_role(self._stack.pid, replicas={}).get(role, [])

    def _ready(self, version: str) -> list[int]:
        """The process ids of the replicas of that version that serve."""
        return [
            replica["pid"]
            for replica in self._stack.replicas()
            if (replica["model"], replica["version"]) == (MODEL, version)
            and replica["state"] == "ready"
        ]

    def _wait(self, condition: Callable[[], object], *, what: str) -> None:
        waited_for(
            lambda: self._holds(condition),
            seconds=RECOVERY_SECONDS,
            what=what,
            failure=NotRecovered,
        )

    def _holds(self, condition: Callable[[], object]) -> bool:
        try:
            return bool(condition())
        except (httpx.HTTPError, ManagementFailed, psutil.NoSuchProcess):
            return False  # of a part that is away just now


class Disruption(NamedTuple):
    """`connections_break` where clients notice it; `once`: in the first round only."""

    name: str
    begin: Callable[[Disrupted], None]
    connections_break: bool = False
    feedback_waits: bool = False
    once: bool = False


# The web process is killed early and only once: of a long life more can be seen.
DISRUPTIONS = (
    Disruption("deploy", Disrupted.deploy),
    Disruption(
        "kill a web worker",
        Disrupted.kill_web,
        connections_break=True,
        feedback_waits=True,
        once=True,
    ),
    Disruption("roll back", Disrupted.roll_back),
    Disruption("kill a replica", Disrupted.kill_replica),
    Disruption("scale up", Disrupted.scale_up),
    Disruption("kill Redis", Disrupted.kill_redis, feedback_waits=True),
    Disruption("change batching", Disrupted.configure),
    Disruption("kill the CPU worker", Disrupted.kill_cpu_worker),
    Disruption("scale down", Disrupted.scale_down),
    Disruption("kill control", Disrupted.kill_control),
)
