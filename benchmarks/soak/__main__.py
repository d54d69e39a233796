"""`make soak`: half a million queries, while one part after another is changed or killed.

Starts a stack of its own and stops it at the end; ends with 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import httpx

from benchmarks.command import Failed
from benchmarks.counters import VERSION, read_metrics
from benchmarks.experiment import Experiment, Session
from benchmarks.linear import body
from benchmarks.pace import read_often
from benchmarks.processes import MIB, processes_by_role, read_memory
from benchmarks.servers import waited_for
from benchmarks.soak.disruptions import DISRUPTIONS, MODEL, Disrupted, Disruption
from benchmarks.soak.generator import Generator, generating
from benchmarks.soak.messages import ENSEMBLE, LEARNING, SINGLE, Plan
from benchmarks.soak.verdict import Event, Reading, Soak, draw, notes, phase_table, targets
from benchmarks.stack import Stack, running_stack
from benchmarks.study import Study
from registry.demo.digits import held_out

QUERIES, EVERY_SECONDS = 500_000, 15.0
CALM_QUERIES = 20_000
CLIENTS = {"single": 16, "ensemble": 12, "hits": 8, "batches": 1, "feedback": 3, "websocket": 1}
OBJECTIVE_MS = 250.0
# Small enough to be full after a few thousand queries: what grows from then on is no cache.
CACHE_BYTES = 8 << 20
SETTLED_SECONDS, READ_SECONDS, LOOK_AGAIN_SECONDS = 60.0, 2.0, 0.2


def measure(session: Session) -> Soak:
    with running_stack(say=session.say, CLIPPER_CACHE_BYTES=str(CACHE_BYTES)) as stack:
        return _Bench(stack, session=session).soak()


class _Bench:
    """The stack, who asks it, and what happens to it."""

    def __init__(self, stack: Stack, *, session: Session) -> None:
        self._stack = stack
        self._options = session.options
        self._say = session.say
        self._disrupted = Disrupted(stack)
        self._started = 0.0

    def soak(self) -> Soak:
        plan = self._prepare()
        replicas_before = self._replicas()
        self._started = time.monotonic()
        with generating(plan) as generator:
            read = lambda: self._reading(generator)  # noqa: E731
            with read_often(read, seconds=READ_SECONDS) as memory:
                events = self._disrupt(generator, memory=memory)
        self._say("The load has ended; waiting until all is settled ...")
        return Soak(
            wanted_queries=self._options.queries,
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
        stack = self._stack
        images, labels = held_out()
        question = body(images[0], decimals=0).encode()
        ensemble = stack.application(ENSEMBLE)
        all_models = [route["model"] for route in ensemble["routes"]]
        stack.route(SINGLE, MODEL, slo_ms=OBJECTIVE_MS, body=question)
        stack.route(LEARNING, *all_models, slo_ms=OBJECTIVE_MS, policy="exp4", body=question)
        address = urlsplit(stack.url)
        return Plan(
            host=address.hostname or "",
            port=address.port or 0,
            api_key=stack.api_key,
            images=[",".join(f"{pixel:.0f}" for pixel in image[1:]) for image in images],
            labels=[int(label) for label in labels],
            objectives_ms={
                SINGLE: OBJECTIVE_MS,
                LEARNING: OBJECTIVE_MS,
                ENSEMBLE: ensemble["slo"]["latency_ms"],
            },
            clients=CLIENTS,
        )

    def _reading(self, generator: Generator) -> Reading | None:
        """Nothing while there is no web process, as after it was killed."""
        serving = self._disrupted.web_workers()
        if not serving:
            return None
        own = serving[0].memory_full_info()
        roles = read_memory(processes_by_role(self._stack.pid, replicas={}))
        return Reading(
            at=time.monotonic(),
            queries=generator.queries,
            pid=serving[0].pid,
            web=own.rss / MIB,
            web_pss=getattr(own, "pss", own.rss) / MIB,
            worker_pss=roles["worker"].pss if "worker" in roles else 0.0,
            redis=roles["redis"].rss if "redis" in roles else 0.0,
        )

    def _disrupt(self, generator: Generator, *, memory: list[Reading]) -> list[Event]:
        """One disruption after another, each at least once, until so much was asked."""
        events: list[Event] = []
        while generator.queries < CALM_QUERIES:
            time.sleep(LOOK_AGAIN_SECONDS)
        first_round = True
        while first_round or generator.queries < self._options.queries:
            for disruption in DISRUPTIONS:
                if first_round or not disruption.once:
                    self._pause(generator, memory=memory)
                    events.append(self._event(disruption))
                if not first_round and generator.queries >= self._options.queries:
                    break
            first_round = False
        self._pause(generator, memory=memory)
        return events

    def _event(self, disruption: Disruption) -> Event:
        began, failure = time.monotonic(), ""
        try:
            disruption.begin(self._disrupted)
        except (Failed, httpx.HTTPError, LookupError) as error:
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

    def _pause(self, generator: Generator, *, memory: list[Reading]) -> None:
        time.sleep(self._options.every)
        web = f"{memory[-1].web:.0f} MiB" if memory else "unknown"
        self._tell(
            f"{generator.queries:,} queries, {len(generator.errors())} errors, "
            f"{generator.acknowledged:,} feedbacks; the web process has {web}"
        )

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._started:6.0f} s  {text}")

    # What is left.

    def _left_open(self) -> float:
        """Queries that wait or are in flight; none as soon as a publication shows none."""
        gauges = (f"{VERSION}in_flight", f"{VERSION}waiting")
        left = float("nan")

        def settled() -> bool:
            nonlocal left
            samples = read_metrics(self._stack.client)
            found = [value for (name, _, _), value in samples.items() if name in gauges]
            left = sum(found) if found else float("nan")
            return left == 0

        with suppress(Failed):
            waited_for(settled, seconds=SETTLED_SECONDS, what="the queries to end")
        return left

    def _rows(self, *, wanted: int) -> int:
        """Rows of feedback: as many as wanted, or however many there are after a while.

        Looked at once more a little later: there must not come any beyond these.
        """
        rows = partial(self._stack.rows_of_feedback, LEARNING)
        with suppress(Failed):
            waited_for(lambda: rows() >= wanted, seconds=SETTLED_SECONDS, what="the rows")
        time.sleep(10 * LOOK_AGAIN_SECONDS)
        return rows()

    def _replicas(self) -> dict[str, float]:
        """Resident memory of the replicas, by version."""
        self._stack.look()
        memory = read_memory(self._stack.processes)
        return {role: m.rss for role, m in memory.items() if role.startswith("replica ")}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=QUERIES, help="at least (500,000)")
    parser.add_argument(
        "--every", type=float, default=EVERY_SECONDS, metavar="S", help="between events (15 s)"
    )


STUDY = Study(
    name="soak",
    module="soak",
    about=__doc__,
    experiments=(
        Experiment(
            name="soak",
            title="Soak",
            workload="41 clients that never pause, of six kinds",
            systems=("a stack, while one part after another is changed or killed",),
            result=Soak,
            measure=measure,
            targets=targets,
            draw=draw,
            table=phase_table,
            notes=notes,
        ),
    ),
    needs_wrk=False,
    strict=True,
    options=options,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
