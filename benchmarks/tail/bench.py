"""Measures scenarios on the stacks that they need, each beside a bare echo server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import httpx
import pandas as pd

from benchmarks import linear
from benchmarks.experiment import Session, turns
from benchmarks.frames import Frame, Record, Records, queries_of, tail_of
from benchmarks.generator import Phase
from benchmarks.linear import LINEAR, publish_linear
from benchmarks.processes import meanwhile, read_cpu
from benchmarks.servers import Server, running_echo
from benchmarks.stack import DIGITS, running_stack
from benchmarks.tail import disturbances, scenarios
from benchmarks.tail.disturbances import Action, Disturbed
from benchmarks.tail.scenarios import Kind, Scenario

CONNECTIONS = 64
WARM_UP_SECONDS = 1.0
# The seconds of a load include the warm-up.
ROUNDS, SECONDS, CLOSED_SECONDS = 2, 7.0, 5
QUICK_ROUNDS, QUICK_SECONDS, QUICK_CLOSED_SECONDS = 1, 3.0, 2
# Queries that belong to a spike took this long at least; so many are told of, the worst.
SPIKE_SECONDS, WORST = 0.010, 3

# The slowest query of a stretch and the whole of it in ms, and what went on during it.
Spike = tuple[float, float, list[str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One scenario at one share of the capacity."""

    scenario: Scenario
    share: float


def measured(chosen: Sequence[Scenario], *, session: Session) -> Records:
    """Measure each of these at each of its shares of the capacity, which is found first."""
    capacity: float | None = getattr(session.options, "capacity", None)
    found: Records = []
    for kind, same in groupby(chosen, key=lambda scenario: scenario.kind):
        with _bench(kind, session=session) as bench:
            capacity = capacity or bench.capacity()
            rows = [Row(scenario=one, share=share) for one in same for share in one.shares]
            found += bench.measured(rows, capacity=capacity)
    return found


@contextmanager
def _bench(kind: Kind, *, session: Session) -> Iterator[_Bench]:
    with ExitStack() as held:
        stack = held.enter_context(running_stack(kind.name, say=session.say, **kind.settings))
        echo = held.enter_context(running_echo(stack.folder))
        console = httpx.Client(base_url=stack.url, timeout=disturbances.ANSWER_SECONDS)
        disturbed = Disturbed(stack=stack, console=held.enter_context(console))
        yield _Bench(disturbed, echo, kind=kind, session=session)


class _Bench:
    """One stack, the echo server, and those who ask both."""

    def __init__(self, disturbed: Disturbed, echo: Server, *, kind: Kind, session: Session) -> None:
        self._disturbed = disturbed
        self._stack = stack = disturbed.stack
        self._echo = echo
        self._say = session.say
        self._rounds = QUICK_ROUNDS if session.quick else ROUNDS
        self._seconds = QUICK_SECONDS if session.quick else SECONDS
        self._closed_seconds = QUICK_CLOSED_SECONDS if session.quick else CLOSED_SECONDS
        self._bodies = linear.large_bodies(stack.folder / "large.txt")
        self._small = linear.small_bodies(stack.folder / "small.txt")
        publish_linear(stack)
        if kind is scenarios.ORDINARY:
            stack.publish(disturbances.OTHER_MODEL, artifact=linear.linear_artifact())
            model = {"name": disturbances.UPLOADED_MODEL, "input_type": "doubles"}
            stack.call("POST", "models/", json=model)
        if kind is scenarios.MANY_APPLICATIONS:
            disturbances.register_applications(stack)
        # By their ids of now: replicas that a deploy starts later count as worker.
        stack.look(echo.pid)

    def capacity(self) -> float:
        """Return what a closed loop gets answered a second, once it is warm."""
        load = self._stack.load(LINEAR, bodies=self._bodies, connections=CONNECTIONS)
        self._stack.wrk.run(load, seconds=self._closed_seconds)
        rate = self._stack.wrk.run(load, seconds=self._closed_seconds).rate
        self._say(f"Capacity, {CONNECTIONS} connections in a closed loop: {rate:,.0f} queries/s")
        return rate

    def measured(self, rows: Sequence[Row], *, capacity: float) -> Records:
        """Measure every row in each round, after the echo server at each share. Percentiles are
        over the queries of all rounds.
        """
        self._collect_receipts(rows)
        tries: dict[Row, list[_Try]] = {row: [] for row in rows}
        echoes: dict[float, list[Frame]] = {row.share: [] for row in rows}
        for turn, row in turns(rows, rounds=self._rounds):
            rate = row.share * capacity
            if len(echoes[row.share]) < turn:
                url = f"{self._echo.url}/"
                echoes[row.share].append(self._ask(url, bodies=self._bodies, rate=rate))
            tries[row].append(one := self._tried(row, rate=rate))
            tail = ", ".join(f"{k} {v:.4g}" for k, v in tail_of(one.queries).items())
            self._say(f"{turn}: {row.scenario.name}, {row.share:.0%}: {tail}")
        beside = {share: tail_of(pd.concat(frames)) for share, frames in echoes.items()}
        return [
            _record(row, of_row, echo=beside[row.share], rate=row.share * capacity)
            for row, of_row in tries.items()
        ]

    def _tried(self, row: Row, *, rate: float) -> _Try:
        self._disturbed.actions.clear()
        before = read_cpu(self._stack.processes)
        disturb = disturbances.politely(row.scenario.disturb)
        with meanwhile(partial(disturb, self._disturbed)):
            seen = self._ask(self._stack.url_of(LINEAR), bodies=self._bodies, rate=rate)
            cores = read_cpu(self._stack.processes).cores_since(before)
        spikes = worst_stretches(seen, self._disturbed.actions)
        return _Try(seen, spikes, cores, len(self._disturbed.actions))

    def _collect_receipts(self, rows: Sequence[Row]) -> None:
        """Ask what feedback is given of later."""
        loads = sum(row.scenario.name == scenarios.FEEDBACK for row in rows) * self._rounds
        if count := int(disturbances.FEEDBACK_RATE * self._seconds * loads):
            inputs = [linear.input_of(line) for line in self._small.read_text().splitlines()]
            self._disturbed.receipts[:] = self._stack.receipts(DIGITS, inputs=inputs, count=count)

    def _ask(self, url: str, *, bodies: Path, rate: float) -> Frame:
        """Return the queries after the warm-up, due on the monotonic clock."""
        phases = [Phase(rate, self._seconds)]
        recording = self._stack.open_loop.run(url, bodies=bodies, phases=phases)
        queries = queries_of(recording, warm_up=WARM_UP_SECONDS)
        return queries.assign(due=queries["due"] + recording.zero)


class _Try(NamedTuple):
    """One load: its queries, their worst stretches, the cores that each role and strangers kept
    busy, and how much was done beside.
    """

    queries: Frame
    spikes: list[Spike]
    cores: dict[str, float]
    done: int


def _record(row: Row, tries: Sequence[_Try], *, echo: Record, rate: float) -> Record:
    queries = pd.concat([one.queries for one in tries])
    return {
        "name": row.scenario.name,
        "share": row.share,
        "rate": rate,
        "queries": len(queries),
        "done": sum(one.done for one in tries),
        "elsewhere": max(one.cores["elsewhere"] for one in tries),
        "cores": pd.DataFrame([one.cores for one in tries]).mean().to_dict(),
        **tail_of(queries),
        **{f"echo_{field}": value for field, value in echo.items()},
        "spikes": sorted((spike for one in tries for spike in one.spikes), reverse=True),
    }


def worst_stretches(queries: Frame, actions: Sequence[Action]) -> list[Spike]:
    """Return the worst stretches in which queries were slow, and what went on during them. Slow
    queries belong to one stretch as long as another one was due before they were answered.
    """
    slow = queries[queries["took"] >= SPIKE_SECONDS].sort_values("due")
    ends = (slow["due"] + slow["took"]).cummax()
    stretches = slow.assign(end=ends).groupby((slow["due"] > ends.shift()).cumsum())
    found = stretches.agg(due=("due", "min"), end=("end", "max"), worst=("took", "max"))
    return [
        (
            1e3 * worst,
            1e3 * (end - due),
            sorted({one.what for one in actions if one.begin <= end and one.end >= due}),
        )
        for due, end, worst in found.nlargest(WORST, "worst").itertuples(index=False)
    ]
