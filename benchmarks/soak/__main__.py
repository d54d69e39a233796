"""`make soak`: half a million queries, while one part after another is changed or killed.

Starts a stack of its own and stops it at the end; ends with 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from benchmarks import command
from benchmarks.command import say
from benchmarks.counters import VERSION, parse_metrics
from benchmarks.figures import style
from benchmarks.management import ManagementFailed, Operator
from benchmarks.models import body
from benchmarks.processes import processes_by_role, read_memory
from benchmarks.servers import ServerFailed, Stack, running_stack
from benchmarks.soak import chart
from benchmarks.soak.disruptions import DISRUPTIONS, MODEL, Disruption, NotRecovered, Target
from benchmarks.soak.generator import Generator, GeneratorFailed, generating
from benchmarks.soak.memory import Reading, watching
from benchmarks.soak.messages import ENSEMBLE, SINGLE, TAUGHT, Plan
from benchmarks.soak.verdict import Event, Soak, claims, summary
from registry.demo.digits import held_out

RESULTS = Path(__file__).parent.with_name("results")
QUERIES, EVERY_SECONDS = 500_000, 15.0
CALM_QUERIES = 20_000
CLIENTS = {"single": 16, "ensemble": 12, "hits": 8, "batches": 1, "feedback": 3, "websocket": 1}
OBJECTIVE_MS = 250.0
# Small enough to be full after a few thousand queries: what grows from then on is no cache.
CACHE_BYTES = 8 << 20
SETTLED_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return command.run(
        "soak",
        lambda: run(options),
        failures=(ServerFailed, ManagementFailed, GeneratorFailed),
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--queries", type=int, default=QUERIES, help="at least (500,000)")
    parser.add_argument(
        "--every", type=float, default=EVERY_SECONDS, metavar="S", help="between events (15 s)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser


def run(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="clipper-soak-") as folder:
        say("Starting a stack with the demo ...")
        settings = {"CLIPPER_CACHE_BYTES": str(CACHE_BYTES)}
        with running_stack(Path(folder), settings=settings) as stack, stack.client() as client:
            bench = Bench(stack, client=client, database=Path(folder) / "var/clipper.sqlite3")
            soak = bench.soak(queries=options.queries, every=options.every)
    judged = claims(soak, wanted_queries=options.queries)
    say(f"\n{summary(soak, judged=judged)}")
    write(soak, results=options.results)
    return 0 if all(claim.holds for claim in judged) else 1


def write(soak: Soak, *, results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    (results / "soak.json").write_bytes(msgspec.json.encode(soak) + b"\n")
    with style.applied():
        style.save(chart.draw(soak), results / "soak.png")
    say(f"\nNumbers and chart: {results / 'soak.json'}, {results / 'soak.png'}")


class Bench:
    """The stack, who asks it, and what happens to it."""

    def __init__(self, stack: Stack, *, client: httpx.Client, database: Path) -> None:
        self._stack = stack
        self._client = client
        self._database = database
        self._operator = Operator(client)
        self._target = Target(stack, operator=self._operator)
        self._started = 0.0

    def soak(self, *, queries: int, every: float) -> Soak:
        plan = self._prepare()
        replicas_before = self._replicas()
        self._started = time.monotonic()
        with generating(plan) as generator:
            watch = watching(
                self._stack.pid,
                web=self._target.web_workers,
                queries=lambda: generator.queries,
            )
            with watch as memory:
                events = self._disturb(generator, queries=queries, every=every, memory=memory)
        say("The load has ended; waiting until all is settled ...")
        return Soak(
            started=self._started,
            progress=generator.progress,
            troubles=generator.troubles,
            events=events,
            memory=memory,
            left_open=self._left_open(),
            rows=self._rows(wanted=generator.acknowledged),
            replicas_before=replicas_before,
            replicas_after=self._replicas(),
        )

    def _prepare(self) -> Plan:
        """Make the applications and the plan of the load."""
        images, labels = held_out()
        question = body(images[0], decimals=0).encode()
        ensemble = self._operator.application(ENSEMBLE)
        all_models = [route["model"] for route in ensemble["routes"]]
        for name, policy, models in ((SINGLE, "static", [MODEL]), (TAUGHT, "exp4", all_models)):
            self._operator.create_application(
                name=name,
                input_type="doubles",
                slo_ms=OBJECTIVE_MS,
                default_output=-1,
                policy=policy,
                routes=[{"model": model} for model in models],
            )
            self._operator.wait_until_answered(name, body=question)
        address = urlsplit(self._stack.url)
        assert address.hostname is not None
        assert address.port is not None
        return Plan(
            host=address.hostname,
            port=address.port,
            api_key=self._stack.api_key,
            images=[",".join(f"{pixel:.0f}" for pixel in image[1:]) for image in images],
            labels=[int(label) for label in labels],
            objectives_ms={
                SINGLE: OBJECTIVE_MS,
                TAUGHT: OBJECTIVE_MS,
                ENSEMBLE: ensemble["slo"]["latency_ms"],
            },
            clients=CLIENTS,
        )

    def _disturb(
        self, generator: Generator, *, queries: int, every: float, memory: list[Reading]
    ) -> list[Event]:
        """One disruption after another, each at least once, until so much was asked."""
        events: list[Event] = []
        while generator.queries < CALM_QUERIES:
            time.sleep(LOOK_AGAIN_SECONDS)
        first_round = True
        while first_round or generator.queries < queries:
            for disruption in DISRUPTIONS:
                if first_round or not disruption.once:
                    self._pause(generator, seconds=every, memory=memory)
                    events.append(self._event(disruption))
                if not first_round and generator.queries >= queries:
                    break
            first_round = False
        self._pause(generator, seconds=every, memory=memory)
        return events

    def _event(self, disruption: Disruption) -> Event:
        began, failure = time.monotonic(), ""
        try:
            disruption.begin(self._target)
        except (NotRecovered, ManagementFailed, httpx.HTTPError, LookupError) as error:
            failure = f"{type(error).__name__}: {error}"
        over = time.monotonic()
        self._tell(f"{disruption.name}, {over - began:.1f} s {failure}")
        return Event(
            name=disruption.name,
            at=began,
            over=over,
            connections_break=disruption.connections_break,
            feedback_waits=disruption.feedback_waits,
            failure=failure,
        )

    def _pause(self, generator: Generator, *, seconds: float, memory: list[Reading]) -> None:
        time.sleep(seconds)
        web = f"{memory[-1].web:.0f} MiB" if memory else "unknown"
        self._tell(
            f"{generator.queries:,} queries, {len(generator.errors())} errors, "
            f"{generator.acknowledged:,} feedbacks; the web process has {web}"
        )

    def _tell(self, text: str) -> None:
        say(f"{time.monotonic() - self._started:6.0f} s  {text}")

    # --- what is left -------------------------------------------------------------------------

    def _left_open(self) -> float:
        """Queries that wait or are in flight; none as soon as a publication shows none."""
        gauges = (f"{VERSION}in_flight", f"{VERSION}waiting")
        deadline = time.monotonic() + SETTLED_SECONDS
        while True:
            samples = parse_metrics(self._client.get("/metrics").raise_for_status().text)
            found = [value for (name, _, _), value in samples.items() if name in gauges]
            left = sum(found) if found else float("nan")
            if left == 0 or time.monotonic() > deadline:
                return left
            time.sleep(LOOK_AGAIN_SECONDS)

    def _rows(self, *, wanted: int) -> int:
        """Rows of feedback: as many as wanted, or however many there are after a while.

        Looked at once more a little later: there must not come any beyond these.
        """
        deadline = time.monotonic() + SETTLED_SECONDS
        while self._count_rows() < wanted and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_SECONDS)
        time.sleep(10 * LOOK_AGAIN_SECONDS)
        return self._count_rows()

    def _count_rows(self) -> int:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            query = (
                "SELECT count(*) FROM selection_feedback JOIN registry_application AS application"
                " ON application.id = application_id WHERE application.name = ?"
            )
            return int(database.execute(query, (TAUGHT,)).fetchone()[0])

    def _replicas(self) -> dict[str, float]:
        """Resident memory of the replicas, by version."""
        names = {r["pid"]: f"{r['model']}:{r['version']}" for r in self._operator.replicas()}
        memory = read_memory(processes_by_role(self._stack.pid, replicas=names))
        return {role: m.rss for role, m in memory.items() if role.startswith("replica ")}


if __name__ == "__main__":
    raise SystemExit(main())
