"""Roles of the stack's processes, and shares of the CPU."""

import subprocess

import psutil
import pytest

from benchmarks.processes import CpuReading, processes_by_role, read_cpu, role_of
from benchmarks.servers import ROOT


def reading(at: float, *, machine: float = 0.0, strangers=None, **roles: float) -> CpuReading:
    return CpuReading(at, roles, strangers or {}, machine)


def test_every_program_of_the_stack_has_a_role() -> None:
    lines = (ROOT / "clipper_site/stack/supervisord.conf").read_text().splitlines()
    commands = [line for line in lines if line.startswith("command =")]
    commands = [line.replace("%(ENV_CLIPPER_REDIS_SERVER)s", "redis-server") for line in commands]
    roles = {role_of(command) for command in commands}
    assert roles == {"supervisor", "redis", "worker", "scheduler", "predict", "console"}


def test_busy_neighbours_show_though_the_machine_counts_too_little() -> None:
    before = reading(0.0, strangers={1: 5.0, 2: 1.0})
    after = reading(2.0, strangers={1: 5.5, 3: 0.5}, machine=0.1)
    assert after.cores_since(before)["elsewhere"] == pytest.approx(0.5)


def test_replicas_of_all_versions_are_added_up_and_this_process_is_no_stranger() -> None:
    own = psutil.Process()
    seen = read_cpu({"replica a:1": [own], "replica b:1": [own]})
    assert seen.roles["replicas"] == pytest.approx(2 * sum(own.cpu_times()[:2]), rel=0.1)
    assert own.pid not in seen.strangers


def test_what_a_replica_has_started_is_the_replica() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", "cat; true"], stdin=pipe, stdout=pipe) as replica:
        replica.stdin.write(b"started\n")
        replica.stdin.flush()
        assert replica.stdout.readline() == b"started\n"
        found = processes_by_role(psutil.Process().pid, replicas={replica.pid: "m:1"})
        names = {process.name() for process in found["replica m:1"]}
        replica.stdin.close()
    assert names == {"sh", "cat"}
