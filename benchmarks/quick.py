"""`make bench`: Clipper beside a bare echo server, in alternating rounds on one machine.

Starts a stack and an echo server of its own, and stops both at the end.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks import command, flame, models, report
from benchmarks.command import say
from benchmarks.counters import Change, Samples, published_metrics, read_metrics
from benchmarks.load import Load, LoadFailed, LoadGenerator, WrkResult
from benchmarks.management import ManagementFailed, Operator
from benchmarks.processes import busiest, processes_by_role, read_cpu, read_memory
from benchmarks.report import Run, Scenario
from benchmarks.servers import Server, ServerFailed, Stack, running_echo, running_stack

RESULTS = Path(__file__).with_name("results")
DIGITS, LINEAR = "digits", "bench-linear"
SMALL_COUNT, LARGE_COUNT = 300, 500
# Long enough that a loaded machine shows its load as latency and not as default answers.
LINEAR_SLO_MS = 100.0
CONNECTIONS = 64
WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    rounds: int
    seconds: int
    alone_seconds: int


FULL = Plan(rounds=3, seconds=5, alone_seconds=3)
QUICK = Plan(rounds=1, seconds=2, alone_seconds=1)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return command.run(
        "bench",
        lambda: run(options),
        failures=(ServerFailed, ManagementFailed, LoadFailed, flame.ProfilerMissing),
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, for a first look")
    parser.add_argument("--rounds", type=int, help=f"default: {FULL.rounds}")
    parser.add_argument("--seconds", type=int, help=f"of each load; default: {FULL.seconds}")
    parser.add_argument(
        "--profile", action="store_true", help="sample the web process with py-spy at the end"
    )
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else FULL
    return Plan(
        rounds=options.rounds or plan.rounds,
        seconds=options.seconds or plan.seconds,
        alone_seconds=plan.alone_seconds,
    )


def run(options: argparse.Namespace) -> None:
    command.need_wrk()
    if options.profile:
        flame.profiler()
    bench(plan_of(options), profile=options.profile)


def bench(plan: Plan, *, profile: bool) -> None:
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="clipper-bench-")))
        say("Starting a stack with the demo ...")
        stack = held.enter_context(running_stack(folder))
        echo = held.enter_context(running_echo(folder))
        bench = Bench(stack, echo, client=held.enter_context(stack.client()), folder=folder)
        bench.prepare()
        bench.measure(plan)
        print_report(bench)
        report.write_json(RESULTS / "quick.json", document=bench.document())
        say(f"\nAll numbers: {RESULTS / 'quick.json'}")
        if profile:
            bench.profile(seconds=2 * plan.seconds)


def publish_linear(operator: Operator, *, artifact: bytes) -> None:
    """Bring the model with 784 inputs live, and an application that asks it alone."""
    operator.publish(model=LINEAR, version="1", input_type="doubles", artifact=artifact)
    operator.create_application(
        name=LINEAR,
        input_type="doubles",
        slo_ms=LINEAR_SLO_MS,
        default_output=-1,
        policy="static",
        routes=[{"model": LINEAR}],
    )


def print_report(bench: Bench) -> None:
    say(f"\n{report.throughput_table(bench.scenarios)}")
    say(f"\n{report.inside_table(bench.scenarios)}")
    if doubts := report.doubts(bench.scenarios):
        say(f"\n{doubts}")
    say(f"\nSizes of batches\n{report.batch_lines(bench.scenarios)}")
    say(f"\n{report.memory_table(bench.memory_before, bench.memory_after)}")


class Bench:
    """The servers, the loads and their results."""

    def __init__(self, stack: Stack, echo: Server, *, client: httpx.Client, folder: Path) -> None:
        self._stack = stack
        self._echo = echo
        self._client = client
        self._operator = Operator(client)
        self._generator = LoadGenerator(api_key=stack.api_key)
        self._small, self._large = folder / "small.txt", folder / "large.txt"
        self.scenarios: dict[str, Scenario] = {}

    def prepare(self) -> None:
        """Put the linear model beside the demo, and write down what will be asked."""
        say("Training a LinearSVC with 784 inputs ...")
        artifact = models.linear_artifact()
        models.write_small_bodies(self._small, count=SMALL_COUNT)
        models.write_large_bodies(self._large, count=LARGE_COUNT)
        say(f"Registering it over REST ({len(artifact):,} bytes), waiting until it is live ...")
        publish_linear(self._operator, artifact=artifact)
        for application, file in ((DIGITS, self._small), (LINEAR, self._large)):
            body = file.read_bytes().splitlines()[0]
            self._operator.wait_until_answered(application, body=body)
        self._processes = processes_by_role(
            self._stack.pid, self._echo.pid, replicas=self._replicas()
        )
        self._plan_scenarios()

    def _replicas(self) -> dict[int, str]:
        return {
            replica["pid"]: f"{replica['model']}:{replica['version']}"
            for replica in self._operator.replicas()
        }

    def _plan_scenarios(self) -> None:
        """Every load with its yardstick before it, so that the rounds keep them side by side."""
        echo, full = f"{self._echo.url}/", f"{self._echo.url}/full"
        self._add("echo 64", url=echo, bodies=self._small)
        self._add_pair(DIGITS, bodies=self._small, inputs=64)
        self._add("echo 784", url=echo, bodies=self._large)
        self._add_pair(LINEAR, bodies=self._large, inputs=784)
        self._add("echo 784, all numbers parsed", url=full, bodies=self._large)
        self._add("echo 784, alone", url=echo, bodies=self._large, connections=1)
        for application, bodies in ((DIGITS, self._small), (LINEAR, self._large)):
            self._add(
                f"{application} misses, alone",
                application=application,
                bodies=bodies,
                unique=True,
                connections=1,
            )

    def _add_pair(self, application: str, *, bodies: Path, inputs: int) -> None:
        for kind in ("misses", "hits"):
            self._add(
                f"{application} {kind}",
                application=application,
                bodies=bodies,
                unique=kind == "misses",
                yardstick=f"echo {inputs}",
            )

    def _add(
        self,
        name: str,
        *,
        bodies: Path,
        url: str | None = None,
        application: str | None = None,
        unique: bool = False,
        connections: int = CONNECTIONS,
        yardstick: str | None = None,
    ) -> None:
        url = url or f"{self._stack.url}/api/v1/applications/{application}/predict"
        load = Load(url=url, bodies=bodies, unique=unique, connections=connections)
        self.scenarios[name] = Scenario(
            name=name, load=load, application=application, yardstick=yardstick
        )

    def measure(self, plan: Plan) -> None:
        for scenario in self.scenarios.values():
            self._warm_up(scenario)
        self.memory_before = read_memory(self._processes)
        for number in range(1, plan.rounds + 1):
            # There and back: a neighbour with a rhythm must not always meet the same scenario.
            turn = list(self.scenarios.values())
            for scenario in turn if number % 2 else reversed(turn):
                alone = scenario.load.connections == 1
                seconds = plan.alone_seconds if alone else plan.seconds
                self._warm_up(scenario)
                run = self._run(scenario, seconds=seconds)
                scenario.runs.append(run)
                say(
                    f"Round {number} of {plan.rounds}: {scenario.name} "
                    f"{run.wrk.rate:,.0f} queries/s, p99 {run.wrk.p99_us / 1e3:.1f} ms"
                )
        self.memory_after = read_memory(self._processes)

    def _warm_up(self, scenario: Scenario) -> None:
        """Let the batch controllers and the cache see this load, and its counters be published."""
        before = self._metrics(scenario)
        result = self._generator.run(scenario.load, seconds=WARM_UP_SECONDS)
        self._wait_until_published(scenario, before=before, result=result)

    def _run(self, scenario: Scenario, *, seconds: int) -> Run:
        metrics_before, cpu_before = self._metrics(scenario), read_cpu(self._processes)
        result = self._generator.run(scenario.load, seconds=seconds)
        cores = read_cpu(self._processes).cores_since(cpu_before)
        after = self._wait_until_published(scenario, before=metrics_before, result=result)
        change = Change(before=metrics_before, after=after) if scenario.application else None
        return Run(wrk=result, cores=cores, change=change)

    def _metrics(self, scenario: Scenario) -> Samples:
        return {} if scenario.application is None else read_metrics(self._client)

    def _wait_until_published(
        self, scenario: Scenario, *, before: Samples, result: WrkResult
    ) -> Samples:
        if scenario.application is None:
            return {}
        return published_metrics(
            self._client,
            application=scenario.application,
            before=before,
            answered=result.answered,
        )

    def profile(self, *, seconds: int) -> None:
        """Sample the web process while the linear model is asked new questions."""
        scenario = self.scenarios[f"{LINEAR} misses"]
        samples = RESULTS / "web-profile.txt"
        say(f"\nProfiling the web process for {seconds} s under {scenario.name} ...")
        sampler = flame.record(busiest(self._processes["web"]).pid, seconds=seconds, to=samples)
        result = self._generator.run(scenario.load, seconds=seconds + flame.START_SECONDS)
        sampler.wait(timeout=seconds)
        stages = flame.stages(samples.read_text())
        say("\nShares of the event loop's time by stage")
        say(report.table((stage, f"{share:.1%}") for stage, share in stages.items()))
        say("\nFunctions that take most of it")
        say("   own   whole  function")
        for cost in flame.costs(samples.read_text()):
            say(f"{cost.own:6.1%}  {cost.whole:6.1%}  {cost.function}")
        say(f"While sampled: {result.rate:,.0f} queries/s. All samples: {samples}")

    def document(self) -> dict[str, Any]:
        return {
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "system": platform.platform(),
            },
            "scenarios": [
                report.as_json(scenario, all_scenarios=self.scenarios)
                for scenario in self.scenarios.values()
            ],
            "memory_before_mib": report.memory_as_json(self.memory_before),
            "memory_after_mib": report.memory_as_json(self.memory_after),
        }


if __name__ == "__main__":
    raise SystemExit(main())
