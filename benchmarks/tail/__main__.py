"""`make bench-tail`: the tail of latency at 70 % of capacity, alone and with a disturbance each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

import httpx
import pandas as pd

from benchmarks import linear
from benchmarks.charts import Panel
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session, turns
from benchmarks.frames import Frame, Records, queries_of, tail_of
from benchmarks.generator import Phase
from benchmarks.linear import LINEAR, LINEAR_SLO_MS, publish_linear
from benchmarks.processes import meanwhile, read_cpu
from benchmarks.servers import Server, running_echo
from benchmarks.stack import DIGITS, running_stack
from benchmarks.study import QUIET, Study, stored
from benchmarks.tail import scenarios as known
from benchmarks.tail.scenarios import SCENARIOS, STEADY, Action, Disturbed, Kind, Scenario
from benchmarks.telling import Target, number, rows_of

SHARE = 0.7
CONNECTIONS, CONTEXTS = 64, 5_000
WARM_UP_SECONDS = 1.0
ECHO = "bare echo server"
# An echo server as slow as this, or a generator that sends as late, is a part of what it measures.
ECHO_P999_MS, LATE_MS = 20.0, 5.0
# Queries that belong to a spike took this long at least; so many are told of, the worst.
SPIKE_SECONDS, WORST = 0.010, 3
TAIL_MS = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"}


def measure(session: Session) -> Records:
    """Measure what is chosen; the other scenarios stay as they were measured last."""
    chosen = {*(session.options.names or SCENARIOS), STEADY}
    try:
        before = stored(TAIL, results=session.results).to_dict("records")
    except Failed:
        before = []
    found = {record["name"]: record for record in before if record["name"] not in chosen}
    capacity: float | None = None
    scenarios = [one for one in SCENARIOS.values() if one.name in chosen]
    for kind, same in groupby(scenarios, key=lambda scenario: scenario.kind):
        with _bench(kind, session=session) as bench:
            capacity = capacity or bench.capacity()
            seen = bench.measured(list(same), rate=SHARE * capacity)
            found |= {record["name"]: record for record in seen}
    return [found[name] for name in SCENARIOS if name in found]


@contextmanager
def _bench(kind: Kind, *, session: Session) -> Iterator[_Bench]:
    with ExitStack() as held:
        stack = held.enter_context(running_stack(kind.name, say=session.say, **kind.settings))
        echo = held.enter_context(running_echo(stack.folder))
        console = httpx.Client(base_url=stack.url, timeout=known.ANSWER_SECONDS)
        disturbed = Disturbed(stack=stack, console=held.enter_context(console))
        yield _Bench(disturbed, echo, session=session)


# The slowest query of a stretch and the whole of it in ms, and what went on during it.
Spike = tuple[float, float, list[str]]


class _Bench:
    """One stack, the echo server, and those who ask both."""

    def __init__(self, disturbed: Disturbed, echo: Server, *, session: Session) -> None:
        self._disturbed = disturbed
        self._stack = stack = disturbed.stack
        self._echo = echo
        self._say = session.say
        # The seconds of a load include the warm-up.
        self._rounds, self._seconds = (1, 3.0) if session.quick else (2, 13.0)
        self._closed_seconds = 2 if session.quick else 5
        self._large = linear.large_bodies(stack.folder / "large.txt")
        self._small = linear.small_bodies(stack.folder / "small.txt")
        publish_linear(stack)
        stack.publish(known.OTHER_MODEL, artifact=linear.linear_artifact())
        # By their ids of now: replicas that a deploy starts later count as worker.
        stack.look(echo.pid)

    def capacity(self) -> float:
        """Return what a closed loop gets answered a second, once it is warm."""
        load = self._stack.load(LINEAR, bodies=self._large, connections=CONNECTIONS)
        self._stack.wrk.run(load, seconds=self._closed_seconds)
        rate = self._stack.wrk.run(load, seconds=self._closed_seconds).rate
        self._say(f"Capacity, {CONNECTIONS} connections in a closed loop: {rate:,.0f} queries/s")
        return rate

    def measured(self, scenarios: Sequence[Scenario], *, rate: float) -> Records:
        """Ask at that rate in every scenario, and before each round the echo server. Percentiles
        are over the queries of all rounds.
        """
        bodies = self._large
        if scenarios[0].kind is known.LARGE_HEAP:
            bodies = self._grown()
        if any(scenario.name == "feedback" for scenario in scenarios):
            inputs = [linear.input_of(line) for line in self._small.read_text().splitlines()]
            count = int(known.FEEDBACK_RATE * self._seconds * self._rounds)
            self._disturbed.receipts[:] = self._stack.receipts(DIGITS, inputs=inputs, count=count)
        names = [scenario.name for scenario in scenarios]
        queries: dict[str, list[Frame]] = {name: [] for name in (ECHO, *names)}
        spikes: dict[str, list[Spike]] = {name: [] for name in names}
        elsewhere = dict.fromkeys(names, 0.0)
        for turn, (name, _, disturb, _) in turns(scenarios, rounds=self._rounds):
            if len(queries[ECHO]) < turn:
                queries[ECHO].append(self._ask(f"{self._echo.url}/", bodies=self._large, rate=rate))
            self._disturbed.actions.clear()
            before = read_cpu(self._stack.processes)
            with meanwhile(partial(disturb, self._disturbed)):
                seen = self._ask(self._stack.url_of(LINEAR), bodies=bodies, rate=rate)
                cores = read_cpu(self._stack.processes).cores_since(before)
            queries[name].append(seen)
            spikes[name] += worst_stretches(seen, self._disturbed.actions)
            elsewhere[name] = max(elsewhere[name], cores["elsewhere"])
            tail = tail_of(seen)
            self._say(f"{turn}: {name}: " + ", ".join(f"{k} {v:.4g}" for k, v in tail.items()))
        tails = {name: tail_of(pd.concat(rounds)) for name, rounds in queries.items()}
        beside = {f"echo_{field}": value for field, value in tails[ECHO].items()}
        return [
            {"name": name, "rate": rate, "elsewhere": elsewhere[name], **tails[name], **beside}
            | {"spikes": sorted(spikes[name], reverse=True)}
            for name in names
        ]

    def _grown(self) -> Path:
        """Fill the cache: five models each answer every question of the demo's ensemble. Return
        questions of many contexts.
        """
        stack, bodies = self._stack, self._large.read_text().splitlines()
        first = bodies[0].encode()
        stack.route(
            known.COLLECTING, LINEAR, slo_ms=LINEAR_SLO_MS, combine=known.COLLECTING, body=first
        )
        file = stack.folder / "contexts.txt"
        lines = (
            f'{bodies[n % len(bodies)][:-1]},"context":"person-{n}"}}\n' for n in range(CONTEXTS)
        )
        file.write_text("".join(lines))
        load = stack.load(DIGITS, bodies=self._small, connections=CONNECTIONS)
        stack.wrk.run(load, seconds=self._closed_seconds)
        stack.look(self._echo.pid)
        return file

    def _ask(self, url: str, *, bodies: Path, rate: float) -> Frame:
        """Return the queries after the warm-up, due on the monotonic clock."""
        phases = [Phase(rate, self._seconds)]
        recording = self._stack.open_loop.run(url, bodies=bodies, phases=phases)
        queries = queries_of(recording, warm_up=WARM_UP_SECONDS)
        return queries.assign(due=queries["due"] + recording.zero)


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


def targets(result: Frame) -> list[Target]:
    """Generous bounds: what an application would notice, and not what a good minute shows."""
    found = []
    for row in result.to_dict("records"):
        name = row["name"]
        if name == STEADY:
            found.append(Target("steady: p99", row["p99_ms"], "≤ 20 ms"))
        found += [
            Target(f"{name}: p99.9", row["p999_ms"], f"≤ {LINEAR_SLO_MS:g} ms"),
            Target(f"{name}: default answers", row["default_count"], "≤ 0"),
            Target(f"{name}: errors", row["errors"], "≤ 0"),
        ]
    return found


def with_echo(result: Frame) -> Frame:
    """The echo server in the rounds of `steady`, then every scenario, under their titles."""
    steady = result[result["name"] == STEADY].iloc[0]
    echo = {"title": ECHO} | {field: steady[f"echo_{field}"] for field in TAIL_MS.values()}
    scenarios = result.assign(
        title=[SCENARIOS[name].title for name in result["name"]],
        beside_echo=result["p999_ms"] / result["echo_p999_ms"],
        beside_steady=(result["p999_ms"] / steady["p999_ms"]).where(result["name"] != STEADY),
    )
    return pd.concat([Frame([echo]), scenarios])


def notes(result: Frame) -> str:
    """The worst stretches of each scenario, and what may be the machine's fault."""
    lines = ["The worst stretches"]
    for row in result.to_dict("records"):
        for worst, ms, during in row["spikes"][:WORST]:
            what = ", ".join(during) or "nothing of ours"
            lines.append(f"{row['name']}: {worst:.0f} ms, slow for {ms:.0f} ms, during {what}")
        for field, most, why in (
            ("elsewhere", QUIET, "other processes kept {:.0%} of a core busy"),
            ("late_ms", LATE_MS, "the generator sent one query in a thousand {:.0f} ms late"),
            ("echo_p999_ms", ECHO_P999_MS, "even the echo server's p99.9 was {:.0f} ms"),
        ):
            if row[field] > most:
                lines.append(f"Doubtful: {row['name']}: {why.format(row[field])}")
    return "\n".join(lines)


MS = "{:.3g} ms"
TAIL = Experiment(
    name="tail",
    title="The tail of latency",
    workload=f"an open loop at {SHARE:.0%} of what a closed one gets answered",
    systems=("a stack, one scenario after the other", "a bare echo server"),
    measure=measure,
    targets=targets,
    panels=(
        Panel(
            title="", x="ms", across=True, log="x", marks=(LINEAR_SLO_MS,),
            of=lambda result: with_echo(result).set_index("title")[list(TAIL_MS.values())],
        ),
    ),
    size=(10.0, 6.4),
    table=lambda result: rows_of(
        with_echo(result),
        {
            "scenario": ("title", str), **{name: (field, MS) for name, field in TAIL_MS.items()},
            "p99.9 : echo": ("beside_echo", number), "p99.9 : steady": ("beside_steady", number),
            "defaults": ("default_count", number), "errors": ("errors", number),
        },
    ),
    notes=notes,
)  # fmt: skip


STUDY = Study.of(TAIL, about=__doc__, quick="a first look, in two minutes", parts=tuple(SCENARIOS))

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
