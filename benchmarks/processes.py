"""The processes of the stack by what they do: their CPU time and their memory."""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass

import psutil

MIB = 1 << 20
# What a command line must hold, the most telling first.
ROLES = (
    ("run_stack.py", "launcher"),
    ("benchmarks.echo", "echo"),
    ("clipper_site.asgi", "web"),
    # One of several web processes, as uvicorn starts them.
    ("--multiprocessing-fork", "web"),
    ("redis-server", "redis"),
    ("control@", "scheduler"),
    ("cpu@", "worker"),
    ("gpu@", "worker"),
    ("supervisord", "supervisor"),
    ("end_orphans.py", "supervisor"),
)
REPLICA = "replica"


def role_of(command_line: str) -> str:
    return next((role for part, role in ROLES if part in command_line), "other")


def processes_by_role(*roots: int, replicas: Mapping[int, str]) -> dict[str, list[psutil.Process]]:
    """Return the process trees below `roots`; `replicas` names the versions by process id."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    parents = [psutil.Process(root) for root in roots]
    children = [child for parent in parents for child in parent.children(recursive=True)]
    for process in (*parents, *children):
        try:
            if process.pid in replicas:
                role = f"{REPLICA} {replicas[process.pid]}"
            else:
                role = role_of(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
        found[role].append(process)
    return dict(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuReading:
    """CPU seconds spent until now: by role, by each process that isn't ours (by its id), by load
    generators that have ended, and by the machine as a whole.
    """

    at: float
    roles: Mapping[str, float]
    strangers: Mapping[int, float]
    generators: float
    machine: float

    def cores_since(self, earlier: CpuReading) -> dict[str, float]:
        """How many cores each role kept busy; `wrk`: the generator; `elsewhere`: anybody else."""
        elapsed = self.at - earlier.at
        spent = self.seconds_since(earlier)
        spent["wrk"] = self.generators - earlier.generators
        # The machine's own count runs behind that of its processes on some systems, and a process
        # that came and went is only in the former: the larger of the two is nearer the truth.
        unexplained = self.machine - earlier.machine - sum(spent.values())
        spent["elsewhere"] = max(unexplained, self._strangers_since(earlier))
        return {role: seconds / elapsed for role, seconds in spent.items()}

    def seconds_since(self, earlier: CpuReading) -> dict[str, float]:
        """The CPU seconds that each role spent."""
        return {
            role: all_of - earlier.roles.get(role, all_of) for role, all_of in self.roles.items()
        }

    def _strangers_since(self, earlier: CpuReading) -> float:
        return sum(
            max(0.0, total - earlier.strangers.get(pid, 0.0))
            for pid, total in self.strangers.items()
        )


def read_cpu(processes: Mapping[str, list[psutil.Process]]) -> CpuReading:
    roles: dict[str, float] = defaultdict(float)
    for role, members in processes.items():
        for process in members:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            roles[role] += times.user + times.system
    ours = {process.pid for members in processes.values() for process in members}
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    machine = psutil.cpu_times()
    return CpuReading(
        at=time.monotonic(),
        roles=dict(roles),
        strangers=_cpu_of_strangers(ours | {os.getpid()}),
        generators=ended.ru_utime + ended.ru_stime,
        machine=machine.user + machine.nice + machine.system,
    )


def _cpu_of_strangers(ours: Set[int]) -> dict[int, float]:
    found = {}
    for process in psutil.process_iter():
        if process.pid not in ours:
            # One that has just ended, or that another user keeps to himself.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                found[process.pid] = sum(process.cpu_times()[:2])
    return found


def of_replicas(by_role: Mapping[str, float]) -> float:
    return sum(value for role, value in by_role.items() if role.startswith(REPLICA))


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory and the part that is a role's own (shared pages divided), in MiB."""

    count: int
    rss: float
    pss: float


def read_memory(processes: Mapping[str, list[psutil.Process]]) -> dict[str, Memory]:
    return {role: _memory(members) for role, members in sorted(processes.items())}


def _memory(members: list[psutil.Process]) -> Memory:
    rss, pss = 0, 0
    for process in members:
        try:
            full = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        rss += full.rss
        pss += getattr(full, "pss", full.rss)
    return Memory(count=len(members), rss=rss / MIB, pss=pss / MIB)


def busiest(members: list[psutil.Process]) -> psutil.Process:
    """The one that did most: of a server's processes the worker, not its parent."""
    return max(members, key=lambda process: sum(process.cpu_times()[:2]))
