"""`make bench-memory`: what a web process has grown by after a million queries and 100 deploys.

Default settings, the linear model and one with a second version, every query a new one. A deploy
goes on at any time, now of one version, now of the other. The memory after the first 10,000
queries is the measure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import httpx
import psutil

from benchmarks import command, models, report
from benchmarks.command import say
from benchmarks.load import Load, LoadFailed, LoadGenerator
from benchmarks.management import ManagementFailed, Operator
from benchmarks.processes import MIB, busiest, processes_by_role
from benchmarks.quick import LARGE_COUNT, LINEAR, publish_linear
from benchmarks.servers import ServerFailed, Stack, running_stack

RESULTS = Path(__file__).with_name("results") / "memory.json"
FIRST, QUERIES, DEPLOYS, GROWTH = 10_000, 1_000_000, 100, 1.2
VERSIONS = ("1", "2")
CONNECTIONS, PART_SECONDS = 16, 5
READINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    queries: int
    deploys: int
    rss_mib: float


class Deploys:
    """Deploys one version after the other, without a pause, in a thread of its own."""

    def __init__(self, operator: Operator, *, wanted: int) -> None:
        self.done = 0
        self.failure: Exception | None = None
        self._operator = operator
        self._wanted = wanted
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def going_on(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            while self.done < self._wanted:
                version = VERSIONS[(self.done + 1) % len(VERSIONS)]
                self._operator.deploy(LINEAR, version=version)
                self.done += 1
        except (ManagementFailed, httpx.HTTPError) as error:  # told at the end
            self.failure = error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--deploys", type=int, default=DEPLOYS)
    options = parser.parse_args(arguments)
    return command.run(
        "bench-memory",
        lambda: run(options),
        failures=(ServerFailed, ManagementFailed, LoadFailed),
    )


def run(options: argparse.Namespace) -> None:
    command.need_wrk()
    readings = measure(queries=options.queries, deploys=options.deploys)
    grown = growth(readings)
    document = {"growth": grown, "readings": [asdict(one) for one in readings]}
    report.write_json(RESULTS, document=document)
    say(f"\nGrown to {grown:.2f} of its size; wanted: at most {GROWTH:g}. Numbers: {RESULTS}")


def measure(*, queries: int, deploys: int) -> list[Reading]:
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="clipper-memory-")))
        say("Starting a stack with the demo ...")
        stack = held.enter_context(running_stack(folder))
        operator = Operator(held.enter_context(stack.client()))
        artifact = models.linear_artifact()
        publish_linear(operator, artifact=artifact)
        operator.upload(LINEAR, version=VERSIONS[1], artifact=artifact)
        bodies = folder / "bodies.txt"
        models.write_large_bodies(bodies, count=LARGE_COUNT)
        return _grow(stack, operator, bodies=bodies, queries=queries, deploys=deploys)


def _grow(
    stack: Stack, operator: Operator, *, bodies: Path, queries: int, deploys: int
) -> list[Reading]:
    web = busiest(processes_by_role(stack.pid, replicas={})["web"])
    generator = LoadGenerator(api_key=stack.api_key)
    url = f"{stack.url}/api/v1/applications/{LINEAR}/predict"
    load = Load(url=url, bodies=bodies, unique=True, connections=CONNECTIONS)
    asked, readings = 0, list[Reading]()
    deploying = Deploys(operator, wanted=deploys)
    while asked < queries or deploying.going_on:
        asked += generator.run(load, seconds=1 if asked < FIRST else PART_SECONDS).answered
        if asked < FIRST:
            continue
        readings.append(_read(web, queries=asked, deploys=deploying.done))
        if len(readings) == 1:
            deploying.start()
    deploying.wait()
    if deploying.failure is not None:
        raise ManagementFailed(str(deploying.failure))
    return readings


def _read(web: psutil.Process, *, queries: int, deploys: int) -> Reading:
    reading = Reading(queries=queries, deploys=deploys, rss_mib=web.memory_info().rss / MIB)
    say(f"{queries:>9,} queries, {deploys:>3} deploys: {reading.rss_mib:.0f} MiB")
    return reading


def growth(readings: Sequence[Reading]) -> float:
    """Return the memory at the end, a mean of some readings, divided by that of the first one."""
    return mean(one.rss_mib for one in readings[-READINGS:]) / readings[0].rss_mib


if __name__ == "__main__":
    sys.exit(main())
