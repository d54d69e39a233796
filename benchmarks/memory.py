"""`make bench-memory`: what a web process has grown by after a million queries and 100 deploys.

Default settings, the linear model and one with a second version, every query a new one. A deploy
goes on at any time, now of one version, now of the other. The memory after the first 10,000
queries is the measure.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from statistics import mean

import msgspec

from benchmarks.experiment import Experiment, Session
from benchmarks.linear import LINEAR, large_bodies, linear_artifact, publish_linear
from benchmarks.pace import meanwhile
from benchmarks.processes import MIB, busiest
from benchmarks.stack import running_stack
from benchmarks.study import Study
from benchmarks.targets import at_most

FIRST, QUERIES, DEPLOYS, GROWTH = 10_000, 1_000_000, 100, 1.2
VERSIONS = ("1", "2")
CONNECTIONS, PART_SECONDS = 16, 5
READINGS = 5


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    queries: int
    deploys: int
    rss_mib: float


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """`growth` is the memory at the end beside that of the first reading."""

    growth: float
    readings: list[Reading]


class Deploys:
    """Deploys one version after the other, without a pause, until there were enough."""

    def __init__(self, deploy: Callable[[str], None], *, wanted: int) -> None:
        self.done = 0
        self.ended = threading.Event()
        self._deploy = deploy
        self._wanted = wanted

    def run(self, stop: threading.Event) -> None:
        """An error of the last deploy comes through."""
        try:
            while self.done < self._wanted and not stop.is_set():
                self._deploy(VERSIONS[(self.done + 1) % len(VERSIONS)])
                self.done += 1
        finally:
            self.ended.set()


def measure(session: Session) -> Readings:
    options = session.options
    with running_stack(say=session.say) as stack:
        publish_linear(stack)
        stack.upload(LINEAR, version=VERSIONS[1], artifact=linear_artifact())
        bodies = large_bodies(stack.folder / "bodies.txt")
        web = busiest(stack.processes["web"])
        deploys = Deploys(
            lambda version: stack.deploy(LINEAR, version=version), wanted=options.deploys
        )
        readings: list[Reading] = []
        asked = 0

        def ask(seconds: int) -> None:
            nonlocal asked
            asked += stack.asked(
                LINEAR, bodies=bodies, connections=CONNECTIONS, seconds=seconds
            ).answered

        def read() -> None:
            mib = web.memory_info().rss / MIB
            readings.append(Reading(queries=asked, deploys=deploys.done, rss_mib=mib))
            session.say(f"{asked:>9,} queries, {deploys.done:>3} deploys: {mib:.0f} MiB")

        while asked < FIRST:
            ask(1)
        read()
        with meanwhile(deploys.run):
            while asked < options.queries or not deploys.ended.is_set():
                ask(PART_SECONDS)
                read()
    return Readings(growth=growth(readings), readings=readings)


def growth(readings: Sequence[Reading]) -> float:
    """Return the memory at the end, a mean of some readings, divided by that of the first one."""
    return mean(one.rss_mib for one in readings[-READINGS:]) / readings[0].rss_mib


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--deploys", type=int, default=DEPLOYS)


STUDY = Study(
    name="bench-memory",
    module="memory",
    about=__doc__,
    experiments=(
        Experiment(
            name="memory",
            title="Memory of a web process",
            workload=f"wrk, {CONNECTIONS} connections, each query a new one",
            systems=("a stack, while versions are deployed",),
            result=Readings,
            measure=measure,
            targets=lambda result: [
                at_most("memory at the end : after the first 10,000 queries", result.growth, GROWTH)
            ],
        ),
    ),
    options=options,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
