"""The measuring: stacks of each kind, an echo server beside them, rounds of scenarios."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from benchmarks.command import Say
from benchmarks.experiment import Session, turns
from benchmarks.generator import Phase
from benchmarks.latencies import Load, Tail, load_of, tail_of
from benchmarks.linear import (
    LINEAR,
    LINEAR_SLO_MS,
    input_of,
    large_bodies,
    linear_artifact,
    publish_linear,
    small_bodies,
)
from benchmarks.pace import meanwhile
from benchmarks.processes import read_cpu
from benchmarks.servers import Server, running_echo
from benchmarks.stack import DIGITS, running_stack
from benchmarks.tail.scenarios import (
    ANSWER_SECONDS,
    COLLECTING,
    FEEDBACK_RATE,
    OTHER_MODEL,
    SCENARIOS,
    STEADY,
    Disturbed,
    Kind,
    Scenario,
)
from benchmarks.tail.spikes import Action, Doing, Spike, doings_of, spikes_of, worst

SHARE = 0.7
CONNECTIONS = 64
CONTEXTS = 5_000


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


def measured(names: Sequence[str], *, session: Session) -> list[Measured]:
    """Measure these scenarios; `steady` is always among them, as all are compared with it."""
    length = QUICK if session.quick else FULL
    by_kind: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in SCENARIOS.values():
        if scenario.name in (*names, STEADY):
            by_kind[scenario.kind.name].append(scenario)
    found: list[Measured] = []
    capacity: float | None = None
    for scenarios in by_kind.values():
        with _bench(scenarios[0].kind, length=length, session=session) as bench:
            capacity = capacity or bench.capacity()
            bench.prepare(scenarios)
            found += bench.measured(scenarios, capacity=capacity)
    return found


@contextmanager
def _bench(kind: Kind, *, length: Length, session: Session) -> Iterator[_Bench]:
    with ExitStack() as held:
        stack = held.enter_context(running_stack(kind.name, say=session.say, **kind.settings))
        echo = held.enter_context(running_echo(stack.folder))
        console = httpx.Client(base_url=stack.url, timeout=ANSWER_SECONDS)
        disturbed = Disturbed(stack=stack, console=held.enter_context(console))
        yield _Bench(disturbed, echo, kind=kind, length=length, say=session.say)


class _Bench:
    """One stack, the echo server, and those who ask both."""

    def __init__(
        self, disturbed: Disturbed, echo: Server, *, kind: Kind, length: Length, say: Say
    ) -> None:
        self._disturbed = disturbed
        self._stack = disturbed.stack
        self._echo = echo
        self._kind = kind
        self._length = length
        self._say = say
        folder = self._stack.folder
        self._large = large_bodies(folder / "large.txt")
        self._small = small_bodies(folder / "small.txt")
        self._of_many = folder / "contexts.txt"
        publish_linear(self._stack)
        self._stack.publish(OTHER_MODEL, artifact=linear_artifact())
        # By their ids of now: replicas that a deploy starts later count as worker.
        self._stack.look(echo.pid)

    def capacity(self) -> float:
        """Return what a closed loop gets answered a second."""
        rate = 0.0
        for _ in range(2):
            rate = self._closed_loop(LINEAR, self._large, seconds=self._length.capacity)
        self._say(f"Capacity, {CONNECTIONS} connections in a closed loop: {rate:,.0f} queries/s")
        return rate

    def _closed_loop(self, application: str, bodies: Path, *, seconds: int) -> float:
        return self._stack.asked(
            application, bodies=bodies, connections=CONNECTIONS, seconds=seconds
        ).rate

    def prepare(self, scenarios: Sequence[Scenario]) -> None:
        """Grow the heap, and ask the questions whose feedback is to come, where that is needed."""
        if self._kind.grown:
            self._grow()
        if any(scenario.name == "feedback" for scenario in scenarios):
            inputs = [input_of(line) for line in self._small.read_text().splitlines()]
            count = int(FEEDBACK_RATE * self._length.load * self._length.rounds)
            self._disturbed.ask_for_receipts(inputs, count=count)

    def _grow(self) -> None:
        """Fill the cache: five models each answer every question of the demo's ensemble."""
        bodies = self._large.read_text().splitlines()
        self._stack.route(
            COLLECTING, LINEAR, slo_ms=LINEAR_SLO_MS, combine=COLLECTING, body=bodies[0].encode()
        )
        lines = (
            f'{bodies[n % len(bodies)][:-1]},"context":"person-{n}"}}\n' for n in range(CONTEXTS)
        )
        self._of_many.write_text("".join(lines))
        self._closed_loop(DIGITS, self._small, seconds=self._length.grow)
        self._stack.look(self._echo.pid)

    def measured(self, scenarios: Sequence[Scenario], *, capacity: float) -> list[Measured]:
        rounds = {scenario.name: Rounds() for scenario in scenarios}
        echo: list[Load] = []
        rate = SHARE * capacity
        for number, scenario in turns(scenarios, rounds=self._length.rounds):
            if len(echo) < number:
                echo.append(self._ask(f"{self._echo.url}/", bodies=self._large, rate=rate))
                self._tell(number, "echo", echo[-1])
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
        disturbed, stack = self._disturbed, self._stack
        disturbed.actions.clear()
        before = read_cpu(stack.processes)
        with meanwhile(lambda stop: scenario.disturb(disturbed, stop)):
            bodies = self._of_many if scenario.contexts else self._large
            load = self._ask(stack.url_of(LINEAR), bodies=bodies, rate=rate)
            seen.cores = read_cpu(stack.processes).cores_since(before)
        seen.cores["generator"] = seen.cores.pop("wrk")
        seen.loads.append(load)
        seen.actions += disturbed.actions
        seen.spikes += spikes_of(load, actions=disturbed.actions)

    def _ask(self, url: str, *, bodies: Path, rate: float) -> Load:
        phases = [Phase(rate=rate, seconds=self._length.load)]
        recording = self._stack.open_loop.run(url, bodies=bodies, phases=phases)
        return load_of(recording, warm_up=self._length.warm_up)

    def _tell(self, number: int, title: str, load: Load) -> None:
        tail = tail_of([load])
        self._say(
            f"Round {number} of {self._length.rounds}: {title}: {tail.rate:,.0f} queries/s, "
            f"p50 {tail.p50 * 1e3:.1f}, p99 {tail.p99 * 1e3:.1f}, p99.9 {tail.p999 * 1e3:.1f}, "
            f"max {tail.max * 1e3:.1f} ms; {tail.errors} errors, {tail.defaults} defaults; "
            f"generator {load.cores:.0%} of a core, late by {tail.late * 1e3:.1f} ms"
        )
