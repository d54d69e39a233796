"""Roles of the stack's processes, and shares of the CPU."""

from __future__ import annotations

import pytest

from benchmarks.processes import CpuReading, of_replicas, role_of
from benchmarks.servers import ROOT


def reading(
    *,
    at: float,
    roles: dict[str, float] | None = None,
    strangers: dict[int, float] | None = None,
    generators: float = 0.0,
    machine: float = 0.0,
) -> CpuReading:
    return CpuReading(
        at=at,
        roles=roles or {},
        strangers=strangers or {},
        generators=generators,
        machine=machine,
    )


def test_every_program_of_the_stack_has_a_role() -> None:
    lines = (ROOT / "supervisord.conf").read_text().splitlines()
    commands = [line for line in lines if line.startswith("command =")]
    commands = [line.replace("%(ENV_CLIPPER_REDIS_SERVER)s", "redis-server") for line in commands]
    roles = {role_of(command) for command in commands}
    assert roles == {"supervisor", "redis", "worker", "scheduler", "web"}


def test_cores_are_seconds_of_cpu_in_a_second_of_the_clock() -> None:
    before = reading(at=10.0, roles={"web": 5.0}, generators=1.0, machine=100.0)
    after = reading(at=12.0, roles={"web": 6.5}, generators=1.5, machine=103.0)
    cores = after.cores_since(before)
    assert cores == pytest.approx({"web": 0.75, "wrk": 0.25, "elsewhere": 0.5})


def test_a_process_that_came_later_counts_from_then_on() -> None:
    before = reading(at=0.0)
    after = reading(at=1.0, roles={"replica svm:1": 9.0})
    assert after.cores_since(before)["replica svm:1"] == 0.0


def test_busy_neighbours_show_though_the_machine_counts_too_little() -> None:
    before = reading(at=0.0, strangers={1: 5.0, 2: 1.0})
    after = reading(at=2.0, strangers={1: 5.5, 3: 0.5}, machine=0.1)
    assert after.cores_since(before)["elsewhere"] == pytest.approx(0.5)


def test_replicas_are_added_up() -> None:
    assert of_replicas({"web": 1.0, "replica a:1": 0.2, "replica b:1": 0.3}) == 0.5
