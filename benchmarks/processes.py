"""The processes of the stack: their roles, CPU time and memory; and threads that work meanwhile."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

import psutil

T = TypeVar("T")
Processes = Mapping[str, list[psutil.Process]]

MIB = 1 << 20
# What a command line must hold, the most telling first.
ROLES = {
    "run_stack.py": "launcher",
    "benchmarks.echo": "echo",
    # Their masters too, which start them.
    "clipper_site.predict_asgi": "predict",
    "clipper_site.console_asgi": "console",
    "redis-server": "redis",
    "control@": "scheduler",
    "clipper_site.worker": "worker",
    "supervisord": "supervisor",
    "clipper_site.stack.processes": "supervisor",
}
REPLICA = "replica"


def role_of(command_line: str) -> str:
    return next((role for part, role in ROLES.items() if part in command_line), "other")


def processes_by_role(*roots: int, replicas: Mapping[int, str]) -> dict[str, list[psutil.Process]]:
    """Return the process trees below `roots`; `replicas` names the versions by process id.

    What a replica has started is the replica: a model in a process of its own.
    """
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    versions = dict(replicas)
    for parent in map(psutil.Process, roots):
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                role = role_of(" ".join(process.cmdline()))
                version = versions.get(process.pid) or versions.get(process.ppid())
                if version:
                    versions[process.pid] = version  # parents come before their children
                    role = f"{REPLICA} {version}"
                found[role].append(process)
    return dict(found)


class CpuReading(NamedTuple):
    """CPU seconds spent until now: by role (all replicas are one), with load generators that have
    ended as `wrk`; by each process that isn't ours; and by the machine as a whole.
    """

    at: float
    roles: Mapping[str, float]
    strangers: Mapping[int, float]
    machine: float

    def seconds_since(self, earlier: CpuReading) -> dict[str, float]:
        return {
            role: all_of - earlier.roles.get(role, all_of) for role, all_of in self.roles.items()
        }

    def cores_since(self, earlier: CpuReading) -> dict[str, float]:
        """Return the number of cores that each role kept busy; `elsewhere` is anybody else."""
        spent = self.seconds_since(earlier)
        # The machine's own count runs behind that of its processes on some systems, and a process
        # that came and went is only in the former: the larger of the two is nearer the truth.
        strangers = sum(
            max(0.0, all_of - earlier.strangers.get(pid, 0.0))
            for pid, all_of in self.strangers.items()
        )
        spent["elsewhere"] = max(self.machine - earlier.machine - sum(spent.values()), strangers)
        return {role: seconds / (self.at - earlier.at) for role, seconds in spent.items()}


def read_cpu(processes: Processes) -> CpuReading:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    roles: dict[str, float] = defaultdict(float, wrk=ended.ru_utime + ended.ru_stime)
    strangers, ours = {}, {os.getpid()}
    for role, members in processes.items():
        for process in members:
            ours.add(process.pid)
            with suppress(psutil.NoSuchProcess):
                spent = sum(process.cpu_times()[:2])
                roles["replicas" if role.startswith(REPLICA) else role] += spent
    for process in psutil.process_iter():
        # One that has just ended, or that another user keeps to himself.
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid not in ours:
                strangers[process.pid] = sum(process.cpu_times()[:2])
    machine = psutil.cpu_times()
    busy = machine.user + machine.nice + machine.system
    return CpuReading(time.monotonic(), dict(roles), strangers, busy)


def read_memory(processes: Processes) -> dict[str, float]:
    """The resident memory of all (`rss`), and with shared pages divided (`pss`), in MiB."""
    found = {"rss": 0.0, "pss": 0.0}
    for members in processes.values():
        for process in members:
            with suppress(psutil.NoSuchProcess):
                full = process.memory_full_info()
                found["rss"] += full.rss / MIB
                found["pss"] += getattr(full, "pss", full.rss) / MIB
    return found


def busiest(members: list[psutil.Process]) -> psutil.Process:
    """The one that did most: of a server's processes the worker, not its parent."""
    return max(members, key=lambda process: sum(process.cpu_times()[:2]))


def every(seconds: float, *, stop: threading.Event) -> Iterator[None]:
    """Go on at this pace until told to stop; a turn that took longer delays none but the next."""
    due = time.monotonic()
    while not stop.is_set():
        yield
        due = max(due + seconds, time.monotonic())
        stop.wait(due - time.monotonic())


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[Future[None]]:
    """Have it work in a thread until the block is left; its failure is the block's."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="meanwhile") as threads:
        working = threads.submit(work, stop)
        try:
            yield working
        finally:
            stop.set()
        working.result()


@contextmanager
def read_often(read: Callable[[], T | None], *, seconds: float) -> Iterator[list[T]]:
    """Append what is read to the list, as long as the block runs; nothing for None."""
    readings: list[T] = []

    def watch(stop: threading.Event) -> None:
        while not stop.wait(seconds):
            with suppress(psutil.NoSuchProcess):
                if (reading := read()) is not None:
                    readings.append(reading)

    with meanwhile(watch):
        yield readings
