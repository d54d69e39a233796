"""The measuring: stacks of each kind, an echo server beside them, rounds of scenarios."""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from benchmarks import load as closed_loop
from benchmarks import models
from benchmarks.load import LoadGenerator
from benchmarks.management import Operator
from benchmarks.processes import CpuReading, processes_by_role, read_cpu
from benchmarks.quick import (
    CONNECTIONS,
    DIGITS,
    LARGE_COUNT,
    LINEAR,
    LINEAR_SLO_MS,
    SMALL_COUNT,
    publish_linear,
)
from benchmarks.servers import Server, running_echo, running_stack
from benchmarks.tail.console import Console
from benchmarks.tail.disturbances import FEEDBACK_RATE, OTHER_MODEL, Target
from benchmarks.tail.generator import Plan, driven
from benchmarks.tail.results import (
    Action,
    Doing,
    Load,
    Spike,
    Tail,
    doings_of,
    load_of,
    spikes_of,
    tail_of,
    worst,
)
from benchmarks.tail.scenarios import ECHO, PROBE, SCENARIOS, STEADY, Kind, Scenario

SHARE = 0.7
# Counters of wrk begin at zero; these never meet them.
FIRST = 500_000_000
CONTEXTS = 5_000
ASKED_AT_ONCE = 500
GRACE_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Rounds, and the seconds of each part; those of a load include the warm-up."""

    rounds: int
    load: float
    warm_up: float
    capacity: int
    grow: int


FULL = Length(rounds=2, load=13.0, warm_up=1.0, capacity=5, grow=8)
QUICK = Length(rounds=1, load=3.0, warm_up=0.5, capacity=2, grow=2)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario over all rounds, and the echo server under the same load in the same rounds.

    `capacity` is the closed loop's rate; `cores` are those that each role kept busy.
    """

    name: str
    title: str
    capacity: float
    objective: float
    tail: Tail
    echo: Tail
    spikes: list[Spike]
    doings: list[Doing]
    cores: dict[str, float]


@dataclass(slots=True)
class Rounds:
    """What the rounds of one scenario have left so far."""

    loads: list[Load] = field(default_factory=list)
    spikes: list[Spike] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    cores: dict[str, float] = field(default_factory=dict)


def measure(names: Sequence[str], *, length: Length, say: Say) -> list[Measured]:
    """Measure these scenarios; `steady` is always among them, as all are compared with it."""
    chosen = [s for s in SCENARIOS.values() if s.name in names or s.name == STEADY]
    by_kind: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in chosen:
        by_kind[scenario.kind.name].append(scenario)
    found: list[Measured] = []
    capacity: float | None = None
    for scenarios in by_kind.values():
        with _bench(scenarios[0].kind, length=length, say=say) as bench:
            capacity = capacity or bench.capacity()
            bench.prepare(scenarios)
            found += bench.measure(scenarios, capacity=capacity)
    return found


@contextmanager
def _bench(kind: Kind, *, length: Length, say: Say) -> Iterator[_Bench]:
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="clipper-tail-")))
        probe = folder / "probe.txt"
        settings = dict(kind.settings)
        if kind.probed:
            settings |= {"PYTHONPATH": str(PROBE), "TAIL_PROBE": str(probe)}
        say(f"\nStarting a stack with the demo ({kind.name}) ...")
        stack = held.enter_context(running_stack(folder, settings=settings))
        echo = held.enter_context(running_echo(folder))
        client = held.enter_context(stack.client())
        target = Target(
            stack=stack,
            client=client,
            operator=Operator(client),
            console=Console(stack.url, demo=folder / "var" / "demo.json"),
            probe=probe,
        )
        bench = _Bench(target, echo, kind=kind, folder=folder, length=length, say=say)
        bench.publish()
        yield bench


class _Bench:
    """One stack, the echo server, and those who ask both."""

    def __init__(
        self, target: Target, echo: Server, *, kind: Kind, folder: Path, length: Length, say: Say
    ) -> None:
        self._target = target
        self._echo = echo
        self._kind = kind
        self._length = length
        self._say = say
        self._closed_loop = LoadGenerator(api_key=target.stack.api_key)
        self._large, self._small = folder / "large.txt", folder / "small.txt"
        self._of_many = folder / "contexts.txt"
        self._asked = FIRST
        self._processes: dict[str, list[psutil.Process]] = {}

    # Before it begins.

    def publish(self) -> None:
        """Put the model and the application of the load beside the demo, as an operator would."""
        models.write_large_bodies(self._large, count=LARGE_COUNT)
        models.write_small_bodies(self._small, count=SMALL_COUNT)
        operator, artifact = self._target.operator, models.linear_artifact()
        publish_linear(operator, artifact=artifact)
        operator.publish(model=OTHER_MODEL, version="1", input_type="doubles", artifact=artifact)
        operator.wait_until_answered(LINEAR, body=self._large.read_bytes().splitlines()[0])
        # By their ids of now: replicas that a deploy starts later count as worker.
        self._processes = processes_by_role(
            self._target.stack.pid,
            self._echo.pid,
            replicas={
                replica["pid"]: f"{replica['model']}:{replica['version']}"
                for replica in operator.replicas()
            },
        )

    def capacity(self) -> float:
        """Return what a closed loop gets answered a second."""
        load = closed_loop.Load(
            url=self._url(LINEAR), bodies=self._large, unique=True, connections=CONNECTIONS
        )
        self._closed_loop.run(load, seconds=self._length.capacity)
        rate = self._closed_loop.run(load, seconds=self._length.capacity).rate
        self._say(f"Capacity, {CONNECTIONS} connections in a closed loop: {rate:,.0f} queries/s")
        return rate

    def prepare(self, scenarios: Sequence[Scenario]) -> None:
        """Grow the heap, and ask the questions whose feedback is to come, where that is needed."""
        if self._kind.grown:
            self._grow()
        if any(scenario.name == "feedback" for scenario in scenarios):
            self._ask_for_receipts(int(FEEDBACK_RATE * self._length.load * self._length.rounds))

    def _grow(self) -> None:
        """Fill the cache: five models each answer every question of the demo's ensemble."""
        bodies = self._large.read_text().splitlines()
        self._of_many.write_text(
            "".join(
                f'{bodies[n % len(bodies)][:-1]},"context":"person-{n}"}}\n'
                for n in range(CONTEXTS)
            )
        )
        load = closed_loop.Load(
            url=self._url(DIGITS), bodies=self._small, unique=True, connections=CONNECTIONS
        )
        self._closed_loop.run(load, seconds=self._length.grow)

    def _ask_for_receipts(self, count: int) -> None:
        inputs = [line[len('{"input":') : -1] for line in self._small.read_text().splitlines()]
        receipts = self._target.receipts
        while len(receipts) < count:
            turn = [inputs[n % len(inputs)] for n in range(ASKED_AT_ONCE)]
            answer = self._target.client.post(
                f"/api/v1/applications/{DIGITS}/predict",
                content=f'{{"input_batch":[{",".join(turn)}]}}',
            ).raise_for_status()
            receipts += [one["query_id"] for one in answer.json()["batch_predictions"]]

    # The rounds.

    def measure(self, scenarios: Sequence[Scenario], *, capacity: float) -> list[Measured]:
        rounds = {scenario.name: Rounds() for scenario in scenarios}
        echo: list[Load] = []
        rate = SHARE * capacity
        for number in range(self._length.rounds):
            echo.append(self._ask_echo(rate=rate))
            self._tell(number, ECHO, echo[-1])
            for scenario in scenarios if number % 2 == 0 else reversed(scenarios):
                self._round(scenario, rounds[scenario.name], rate=rate)
                self._tell(number, scenario.title, rounds[scenario.name].loads[-1])
        return [
            Measured(
                name=scenario.name,
                title=scenario.title,
                capacity=capacity,
                objective=LINEAR_SLO_MS / 1e3,
                tail=tail_of(seen.loads),
                echo=tail_of(echo),
                spikes=worst(seen.spikes),
                doings=doings_of(seen.actions),
                cores=seen.cores,
            )
            for scenario, seen in ((s, rounds[s.name]) for s in scenarios)
        ]

    def _round(self, scenario: Scenario, seen: Rounds, *, rate: float) -> None:
        stop = threading.Event()
        self._target.actions.clear()
        before = read_cpu(self._processes)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="disturbance") as threads:
            disturbing = threads.submit(scenario.disturb, self._target, stop)
            try:
                load = self._ask(
                    self._url(LINEAR),
                    bodies=self._of_many if scenario.contexts else self._large,
                    rate=rate,
                )
                seen.cores = _cores(read_cpu(self._processes), since=before)
            finally:
                stop.set()
            disturbing.result()
        actions = list(self._target.actions)
        seen.loads.append(load)
        seen.actions += actions
        seen.spikes += spikes_of(load, actions=actions)

    def _ask_echo(self, *, rate: float) -> Load:
        return self._ask(f"{self._echo.url}/", bodies=self._large, rate=rate)

    def _ask(self, address: str, *, bodies: Path, rate: float) -> Load:
        url, length = urlsplit(address), self._length
        plan = Plan(
            host=url.hostname or "",
            port=url.port or 0,
            path=url.path,
            api_key=self._target.stack.api_key,
            bodies=str(bodies),
            first=self._asked,
            rate=rate,
            seconds=length.load,
            seed=self._asked,
        )
        recording = driven(plan)
        self._asked += len(recording.default)
        return load_of(recording, warm_up=length.warm_up)

    def _tell(self, number: int, title: str, load: Load) -> None:
        tail = tail_of([load])
        self._say(
            f"Round {number + 1} of {self._length.rounds}: {title}: {tail.rate:,.0f} queries/s, "
            f"p50 {tail.p50 * 1e3:.1f}, p99 {tail.p99 * 1e3:.1f}, p99.9 {tail.p999 * 1e3:.1f}, "
            f"max {tail.max * 1e3:.1f} ms; {tail.errors} errors, {tail.defaults} defaults; "
            f"generator {load.cores:.0%} of a core, late by {tail.late * 1e3:.1f} ms"
        )

    def _url(self, application: str) -> str:
        return f"{self._target.stack.url}/api/v1/applications/{application}/predict"


def _cores(now: CpuReading, *, since: CpuReading) -> dict[str, float]:
    """Return the cores that each role kept busy."""
    cores = now.cores_since(since)
    cores["generator"] = cores.pop("wrk")
    return cores
