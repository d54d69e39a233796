"""More than can be done: three times what a model takes, and 1,500 connections at once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from benchmarks.counters import APPLICATION, Change, Samples, parse_metrics
from benchmarks.load import Load, LoadGenerator, WrkResult
from benchmarks.management import Operator
from benchmarks.models import write_small_bodies
from benchmarks.paper.models import SleepingModel
from benchmarks.paper.open_loop import Phase, Plan, Sample
from benchmarks.paper.session import Session
from benchmarks.processes import MIB, busiest, processes_by_role
from benchmarks.servers import Stack, running_stack
from scripts.stack.layout import ROOT

# The bottleneck is the model: 250 queries/s, and 25 of them fit into the objective.
SLOW = SleepingModel(fixed=0.0, row=0.004)
SLOW_SLO = 0.100
FACTOR, CALM = 3.0, 0.4
# The bottleneck is the web process; its objective is long enough for a queue of all connections.
FAST = SleepingModel(fixed=0.0, row=0.0)
FAST_SLO = 2.0
FEW, MANY = 64, 1500
CLOSED_CONNECTIONS = 8
BODIES = 300
PUBLISHED_SECONDS = 4.0
LOOK_AGAIN_SECONDS = 0.1
MEMORY_SECONDS = 0.5


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each part."""

    capacity: int
    calm: float
    overload: float
    after: float
    connections: int


FULL = Length(capacity=5, calm=4.0, overload=30.0, after=8.0, connections=6)
QUICK = Length(capacity=2, calm=1.0, overload=7.0, after=2.0, connections=2)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The web process's resident memory, so many seconds after the first query was due."""

    at: float
    mib: float


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """Queries over one model, calm, then far too many, then calm again; `begin` to `end`."""

    capacity: float
    objective: float
    begin: float
    end: float
    samples: list[Sample]
    memory: list[Reading]


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """So many connections at once: answers a second by a model and in all, latencies in seconds.

    `next_seconds` is what the first query afterwards took; it was answered by the model or not.
    """

    connections: int
    rate: float
    all_rate: float
    p50: float
    p99: float
    errors: int
    next_seconds: float
    next_by_model: bool


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    flood: Flood
    crowds: list[Crowd]


def measure(session: Session) -> Overload:
    length = QUICK if session.quick else FULL
    session.say("  Starting a stack with the demo ...")
    with (
        tempfile.TemporaryDirectory(prefix="clipper-paper-") as folder,
        running_stack(Path(folder)) as stack,
        stack.client() as client,
    ):
        bench = _Bench(stack, client=client, folder=Path(folder), session=session)
        flood = bench.flood(length)
        crowds = [bench.crowd(connections, length=length) for connections in (FEW, MANY)]
    return Overload(flood=flood, crowds=crowds)


class _Bench:
    """A stack with the two models, and those who ask it."""

    def __init__(
        self, stack: Stack, *, client: httpx.Client, folder: Path, session: Session
    ) -> None:
        self._stack = stack
        self._client = client
        self._say = session.say
        self._generator = LoadGenerator(api_key=stack.api_key)
        self._bodies = folder / "bodies.txt"
        write_small_bodies(self._bodies, count=BODIES)
        operator = Operator(client)
        for name, model, objective in (("slow", SLOW, SLOW_SLO), ("fast", FAST, FAST_SLO)):
            artifact = session.zoo.sleeping(name, model=model)
            operator.publish(
                model=name,
                version="1",
                input_type="doubles",
                artifact=artifact.file.read_bytes(),
                runtime=artifact.runtime,
                file=artifact.file.name,
            )
            operator.create_application(
                name=name,
                input_type="doubles",
                slo_ms=objective * 1e3,
                default_output=-1,
                policy="static",
                routes=[{"model": name}],
            )
            operator.wait_until_answered(name, body=self._body)
        self._web = busiest(processes_by_role(stack.pid, replicas={})["web"])

    @property
    def _body(self) -> bytes:
        return self._bodies.read_bytes().splitlines()[0]

    # A model that is the bottleneck.

    def flood(self, length: Length) -> Flood:
        closed = self._wrk("slow", connections=CLOSED_CONNECTIONS, seconds=length.capacity)
        capacity = closed.rate
        self._say(f"  Capacity of the slow model: {capacity:,.0f} queries/s")
        self._say(f"  Offering {FACTOR:g} times as much for {length.overload:g} s ...")
        phases = [
            Phase(rate=CALM * capacity, seconds=length.calm),
            Phase(rate=FACTOR * capacity, seconds=length.overload),
            Phase(rate=CALM * capacity, seconds=length.after),
        ]
        with self._watching_memory() as memory:
            samples = self._open_loop("slow", phases=phases)
        return Flood(
            capacity=capacity,
            objective=SLOW_SLO,
            begin=length.calm,
            end=length.calm + length.overload,
            samples=samples,
            memory=memory,
        )

    def _open_loop(self, application: str, *, phases: list[Phase]) -> list[Sample]:
        url = urlsplit(self._stack.url)
        plan = Plan(
            host=url.hostname or "",
            port=url.port or 0,
            path=_path(application),
            api_key=self._stack.api_key,
            body='{"input":[%d.0,1.0,2.0,3.0]}',
            phases=phases,
        )
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.paper.open_loop"],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            cwd=ROOT,
            check=True,
        )
        return msgspec.json.decode(finished.stdout, type=list[Sample])

    @contextmanager
    def _watching_memory(self) -> Iterator[list[Reading]]:
        """Read the web process's memory in a thread, until the block is left."""
        readings: list[Reading] = []
        stop, started = threading.Event(), time.monotonic()

        def read() -> None:
            while not stop.wait(MEMORY_SECONDS):
                mib = self._web.memory_info().rss / MIB
                readings.append(Reading(at=time.monotonic() - started, mib=mib))

        thread = threading.Thread(target=read, name="memory")
        thread.start()
        try:
            yield readings
        finally:
            stop.set()
            thread.join()

    # A web process that is the bottleneck.

    def crowd(self, connections: int, *, length: Length) -> Crowd:
        self._wrk("fast", connections=FEW, seconds=1)
        before = self._metrics()
        result = self._wrk("fast", connections=connections, seconds=length.connections)
        next_seconds, next_by_model = self._next("fast")
        change = self._settled_change("fast", before=before, result=result)
        rate = result.rate * (1.0 - change.default_ratio("fast"))
        self._say(
            f"  {connections:5,} connections: {rate:,.0f} answers/s by the model, P99 "
            f"{result.p99_us / 1e3:,.0f} ms; the next query took {next_seconds * 1e3:,.0f} ms"
        )
        return Crowd(
            connections=connections,
            rate=rate,
            all_rate=result.rate,
            p50=result.p50_us / 1e6,
            p99=result.p99_us / 1e6,
            errors=result.errors,
            next_seconds=next_seconds,
            next_by_model=next_by_model,
        )

    def _next(self, application: str) -> tuple[float, bool]:
        started = time.monotonic()
        answer = self._client.post(_path(application), content=self._body).raise_for_status()
        return time.monotonic() - started, not json.loads(answer.content)["default"]

    def _wrk(self, application: str, *, connections: int, seconds: int) -> WrkResult:
        load = Load(
            url=f"{self._stack.url}{_path(application)}",
            bodies=self._bodies,
            unique=True,
            connections=connections,
        )
        return self._generator.run(load, seconds=seconds)

    def _metrics(self) -> Samples:
        return parse_metrics(self._client.get("/metrics").raise_for_status().text)

    def _settled_change(self, application: str, *, before: Samples, result: WrkResult) -> Change:
        """Wait until the counters show all that wrk saw, which are published once a second."""
        deadline = time.monotonic() + PUBLISHED_SECONDS
        while True:
            change = Change(before=before, after=self._metrics())
            counted = change.total(f"{APPLICATION}queries_total", of=application)
            if counted >= result.answered or time.monotonic() > deadline:
                return change
            time.sleep(LOOK_AGAIN_SECONDS)


def _path(application: str) -> str:
    return f"/api/v1/applications/{application}/predict"
