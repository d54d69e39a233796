"""`make bench`: Clipper beside a bare echo server, in alternating rounds on one machine.

Starts a stack and an echo server of its own, and stops both at the end.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import flame
from benchmarks.counters import Change, Samples, published_metrics, read_metrics
from benchmarks.experiment import Experiment, Session, turns
from benchmarks.linear import LINEAR, large_bodies, publish_linear, small_bodies
from benchmarks.processes import busiest, read_cpu, read_memory
from benchmarks.quick_report import Quick, Round, inside, notes, summed_up, throughput
from benchmarks.servers import Server, running_echo
from benchmarks.stack import DIGITS, Stack, running_stack
from benchmarks.study import Study
from benchmarks.targets import at_most
from benchmarks.wrk import Load

CONNECTIONS = 64
WARM_UP_SECONDS = 1
PARSED = "echo 784, all numbers parsed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    rounds: int
    seconds: int
    alone_seconds: int


FULL = Length(rounds=3, seconds=5, alone_seconds=3)
QUICK = Length(rounds=1, seconds=2, alone_seconds=1)


@dataclass(slots=True, kw_only=True)
class Scenario:
    """A load under a name and its rounds; without an application the echo server's."""

    name: str
    load: Load
    application: str | None = None
    yardstick: str | None = None
    rounds: list[Round] = field(default_factory=list)

    @property
    def alone(self) -> bool:
        return self.load.connections == 1


def length_of(session: Session) -> Length:
    options, length = session.options, QUICK if session.quick else FULL
    return Length(
        rounds=options.rounds or length.rounds,
        seconds=options.seconds or length.seconds,
        alone_seconds=length.alone_seconds,
    )


def measure(session: Session) -> Quick:
    length, profile = length_of(session), session.options.profile
    if profile:
        flame.profiler()
    with running_stack(say=session.say) as stack, running_echo(stack.folder) as echo:
        small = small_bodies(stack.folder / "small.txt")
        large = large_bodies(stack.folder / "large.txt")
        session.say("Training a LinearSVC with 784 inputs, and bringing it live ...")
        publish_linear(stack)
        stack.wait_until_answered(DIGITS, body=small.read_bytes().splitlines()[0])
        stack.look(echo.pid)
        bench = _Bench(stack, planned(stack, echo, small=small, large=large), session=session)
        result = bench.measured(length)
        if profile:
            bench.profile(seconds=2 * length.seconds, folder=session.results)
    return result


def planned(stack: Stack, echo: Server, *, small: Path, large: Path) -> list[Scenario]:
    """Every load with its yardstick before it, so that the rounds keep them side by side."""

    def of_echo(
        name: str, bodies: Path, *, path: str = "/", connections: int = CONNECTIONS
    ) -> Scenario:
        load = Load(url=f"{echo.url}{path}", bodies=bodies, unique=False, connections=connections)
        return Scenario(name=name, load=load)

    def ours(
        application: str, kind: str, bodies: Path, *, yardstick: str | None = None
    ) -> Scenario:
        load = stack.load(
            application, bodies=bodies, unique=kind != "hits",
            connections=CONNECTIONS if yardstick else 1,
        )  # fmt: skip
        name = f"{application} {kind}"
        return Scenario(name=name, load=load, application=application, yardstick=yardstick)

    return [
        of_echo("echo 64", small),
        ours(DIGITS, "misses", small, yardstick="echo 64"),
        ours(DIGITS, "hits", small, yardstick="echo 64"),
        of_echo("echo 784", large),
        ours(LINEAR, "misses", large, yardstick="echo 784"),
        ours(LINEAR, "hits", large, yardstick="echo 784"),
        of_echo(PARSED, large, path="/full"),
        of_echo("echo 784, alone", large, connections=1),
        ours(DIGITS, "misses, alone", small),
        ours(LINEAR, "misses, alone", large),
    ]


class _Bench:
    """A stack and the loads on it."""

    def __init__(self, stack: Stack, scenarios: list[Scenario], *, session: Session) -> None:
        self._stack = stack
        self._scenarios = scenarios
        self._say = session.say

    def measured(self, length: Length) -> Quick:
        for scenario in self._scenarios:
            self._warm_up(scenario)
        before = read_memory(self._stack.processes)
        for number, scenario in turns(self._scenarios, rounds=length.rounds):
            self._warm_up(scenario)
            seconds = length.alone_seconds if scenario.alone else length.seconds
            found = self._round(scenario, seconds=seconds)
            scenario.rounds.append(found)
            self._say(
                f"Round {number} of {length.rounds}: {scenario.name} "
                f"{found.wrk.rate:,.0f} queries/s, p99 {found.wrk.p99_us / 1e3:.1f} ms"
            )
        rates = {one.name: [found.wrk.rate for found in one.rounds] for one in self._scenarios}
        return Quick(
            scenarios=[
                summed_up(
                    one.name,
                    connections=one.load.connections,
                    application=one.application,
                    rounds=one.rounds,
                    yardstick=rates[one.yardstick] if one.yardstick else None,
                )
                for one in self._scenarios
            ],
            memory_before_mib=before,
            memory_after_mib=read_memory(self._stack.processes),
        )

    def _warm_up(self, scenario: Scenario) -> None:
        """Let the batch controllers and the cache see this load, and its counters be published."""
        self._round(scenario, seconds=WARM_UP_SECONDS)

    def _round(self, scenario: Scenario, *, seconds: int) -> Round:
        client, application = self._stack.client, scenario.application
        metrics: Samples = read_metrics(client) if application else {}
        before = read_cpu(self._stack.processes)
        wrk = self._stack.wrk.run(scenario.load, seconds=seconds)
        cores = read_cpu(self._stack.processes).cores_since(before)
        if application is None:
            return Round(wrk=wrk, cores=cores)
        after = published_metrics(
            client, application=application, before=metrics, answered=wrk.answered
        )
        change = Change(before=metrics, after=after)
        return inside(wrk, cores=cores, change=change, application=application)

    def profile(self, *, seconds: int, folder: Path) -> None:
        """Sample the web process while the linear model is asked new questions."""
        load = next(one.load for one in self._scenarios if one.name == f"{LINEAR} misses")
        samples = folder / "web-profile.txt"
        self._say(f"\nProfiling the web process for {seconds} s under {LINEAR} misses ...")
        web = busiest(self._stack.processes["web"])
        sampler = flame.record(web.pid, seconds=seconds, to=samples)
        result = self._stack.wrk.run(load, seconds=seconds + flame.START_SECONDS)
        sampler.wait(timeout=seconds)
        self._say(flame.in_words(samples.read_text()))
        self._say(f"While sampled: {result.rate:,.0f} queries/s. All samples: {samples}")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, help=f"default: {FULL.rounds}")
    parser.add_argument("--seconds", type=int, help=f"of each load; default: {FULL.seconds}")
    parser.add_argument(
        "--profile", action="store_true", help="sample the web process with py-spy at the end"
    )


STUDY = Study(
    name="bench",
    module="quick",
    about=__doc__,
    experiments=(
        Experiment(
            name="quick",
            title="Clipper beside a bare echo server",
            workload="wrk, 64 connections and one; each query a new one, or known to the cache",
            systems=("a stack", "a bare echo server"),
            result=Quick,
            measure=measure,
            targets=lambda result: [
                at_most("errors", sum(one.errors for one in result.scenarios), 0)
            ],
            table=throughput,
            notes=notes,
        ),
    ),
    quick="one short round, for a first look",
    options=options,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
