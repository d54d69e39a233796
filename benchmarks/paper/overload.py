"""More than can be done: three times what a model takes, and 1,500 connections at once."""

import time
from typing import Any

import numpy as np

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import P99, Frame, Record, Records, of, percentile, queries_of
from benchmarks.generator import Phase
from benchmarks.linear import small_bodies
from benchmarks.loads import sampled
from benchmarks.paper import models
from benchmarks.processes import MIB, busiest, read_often
from benchmarks.stack import Stack, running_stack
from benchmarks.telling import Target
from benchmarks.wrk import COUNTER, Load

# The bottleneck is the model: 250 queries/s, and 25 of them fit into the objective.
SLOW_ROW, SLOW_SLO_MS = 0.004, 100.0
FACTOR, CALM = 3.0, 0.4
# The bottleneck is the web process; its objective is long enough for a queue of all connections.
FAST_SLO_MS = 2_000.0
FEW, MANY = 64, 1500
CLOSED_CONNECTIONS = 8
MEMORY_SECONDS = 0.5
# Until then caches and buffers of the web process may still grow to what the load needs.
SETTLED_SECONDS = 3.0
# How finely the charts show time, in seconds.
STEP = 0.5
# What is kept: how it was asked, each query, the web process's memory, and each crowd.
FLOOD, QUERY, MEMORY, CROWD = "flood", "query", "memory", "crowd"


def measure(session: Session) -> Records:
    # Seconds of capacity, calm, overload, what comes after, and of the connections.
    capacity, calm, overload, after, connections = (
        (2, 1.0, 7.0, 2.0, 2) if session.quick else (5, 4.0, 30.0, 8.0, 6)
    )
    with running_stack(say=session.say) as stack:
        bodies = small_bodies(stack.folder / "bodies.txt")
        first = bodies.read_bytes().splitlines()[0]
        for name, row, slo_ms in (("slow", SLOW_ROW, SLOW_SLO_MS), ("fast", 0.0, FAST_SLO_MS)):
            artifact = models.coded(session, name, row=row)
            stack.publish(name, **artifact.upload)
            stack.route(name, name, slo_ms=slo_ms, body=first)
        load = stack.load("slow", bodies=bodies, connections=CLOSED_CONNECTIONS)
        rate = stack.wrk.run(load, seconds=capacity).rate
        session.say(f"  The slow model makes {rate:,.0f} queries/s; offering {FACTOR:g} times that")
        parts = ((CALM, calm), (FACTOR, overload), (CALM, after))
        phases = [Phase(factor * rate, lasts) for factor, lasts in parts]
        about = {"kind": FLOOD, "capacity": rate, "begin": calm, "end": calm + overload}
        found = [about, *flood(stack, phases)]
        for count in (FEW, MANY):
            load = stack.load("fast", bodies=bodies, connections=count)
            found.append(crowd(stack, load, seconds=connections, body=first))
            session.say("  {connections:5,} connections: {rate:,.0f} answers/s".format(**found[-1]))
    return found


def flood(stack: Stack, phases: list[Phase]) -> Records:
    """A model that is the bottleneck: each query, and the memory of the web process meanwhile."""
    web = busiest(stack.processes["predict"])
    bodies = stack.folder / "numbers.txt"
    bodies.write_text(f'{{"input":[{COUNTER},1.0,2.0,3.0]}}\n')
    read = lambda: (time.monotonic(), web.memory_info().rss / MIB)  # noqa: E731
    with read_often(read, seconds=MEMORY_SECONDS) as memory:
        recording = stack.open_loop.run(stack.url_of("slow"), bodies=bodies, phases=phases)
    queries: Records = queries_of(recording).assign(kind=QUERY).to_dict("records")
    return [*queries, *({"kind": MEMORY, "due": at - recording.zero, "mib": m} for at, m in memory)]


def crowd(stack: Stack, load: Load, *, seconds: int, body: bytes) -> Record:
    """A web process that is the bottleneck; `next_ms` is what the first query afterwards took."""
    stack.wrk.run(load._replace(connections=FEW), seconds=1)
    following: list[float] = []

    def ask_once_more() -> None:
        started = time.monotonic()
        by_model = not stack.predict("fast", body=body)["default"]
        following.append(1e3 * (time.monotonic() - started) if by_model else float("nan"))

    seen = sampled(
        load, wrk=stack.wrk, seconds=seconds, processes=stack.processes, server="predict",
        client=stack.client, settle=ask_once_more,
    )  # fmt: skip
    by_model = seen["rate"] * (1.0 - seen["defaults"])
    return seen | {"kind": CROWD, "rate": by_model, "next_ms": following[0]}


def ended(result: Frame) -> Frame:
    """The queries of the flood, with how they ended: `good`, answered by the model within the
    objective, counted from when they were due; or `vain`, neither that nor turned away in time.
    """
    queries, slo = of(result, kind=QUERY), SLOW_SLO_MS / 1e3
    vain = (queries["status"] != 200) | (queries["took"] > slo)
    return queries.assign(good=~vain & ~queries["default"].astype(bool), vain=vain)


def targets(result: Frame) -> list[Target]:
    about, queries, slo = of(result, kind=FLOOD).iloc[0], ended(result), SLOW_SLO_MS / 1e3
    begin, end = about["begin"], about["end"]
    during = queries[queries["due"].between(begin, end, inclusive="left")]
    afterwards = queries[queries["due"] >= end]
    good = afterwards[afterwards["good"]]
    memory = of(result, kind=MEMORY)
    loaded = memory[memory["due"].between(begin + SETTLED_SECONDS, end)]["mib"]
    grown = loaded.iloc[-1] / loaded.iloc[0] if len(loaded) else float("nan")
    few, many = (of(result, kind=CROWD, connections=count).iloc[0] for count in (FEW, MANY))
    in_time = during["good"].sum() / (end - begin) / about["capacity"]
    recovered = 1e3 * (good["due"] + good["took"] - end).min()
    # What was left in the queue when it ends is done within one objective.
    calm = 100 * afterwards[afterwards["due"] >= end + slo]["good"].mean()
    vain = 100 * during["vain"].mean()
    after, soon = "after the overload", f"≤ {2 * SLOW_SLO_MS:g} ms"
    return [
        Target(f"{FACTOR:g} x capacity offered: answers in time : capacity", in_time, "≥ 0.9"),
        Target("memory of the web process, end : begin of the overload", grown, "≤ 1.05"),
        Target("queries kept waiting beyond the objective, or without any answer", vain, "≤ 1 %"),
        Target(f"{after}, until a query is answered in time", recovered, soon),
        Target(f"{after}, answers in time", calm, "≥ 99 %"),
        Target(f"throughput, {MANY:,} connections : {FEW}", many["rate"] / few["rate"], "≥ 0.7"),
        Target(
            f"the next query after {MANY:,} connections", many.get("next_ms", float("nan")),
            "≤ 1,000 ms",
        ),
    ]  # fmt: skip


def _by_step(result: Frame) -> Any:
    queries = ended(result)
    return queries.groupby(STEP * np.floor(queries["due"] / STEP))


def _endings(result: Frame) -> Frame:
    """The queries of each step by how they ended."""
    steps = _by_step(result)
    good, vain = steps["good"].sum() / STEP, steps["vain"].sum() / STEP
    default = steps.size() / STEP - good - vain
    capacity = of(result, kind=FLOOD)["capacity"].iloc[0]
    endings = {"by the model": good, "default, in time": default, "late or none": vain}
    return Frame(endings).assign(capacity=capacity)


def _latencies(result: Frame) -> Frame:
    took = _by_step(result)["took"]
    p99 = took.agg(lambda seen: percentile(seen, P99))
    return 1e3 * Frame({"P99": p99, "median": took.median()})


def _crowds(result: Frame, **names: str) -> Frame:
    crowds = of(result, kind=CROWD).astype({"connections": int}).set_index("connections")
    return crowds.reindex(columns=list(names)).rename(columns=names)


OVERLOAD = Experiment(
    name="overload",
    title="Overload: three times the capacity, and 1,500 connections",
    workload=f"an open loop at {FACTOR:g} times the capacity, and closed ones",
    systems=("a stack whose model is the bottleneck", "one whose web process is"),
    measure=measure,
    targets=targets,
    panels=(
        Panel(title="How queries ended", x="seconds", y="queries/s", of=_endings, style="-"),
        Panel(
            title="Latency of all answers", x="seconds", y="ms", of=_latencies, style="-",
            limits=(SLOW_SLO_MS,),
        ),
        Panel(
            title="Memory of the predict process", x="seconds", y="MiB", style="-",
            of=lambda result: of(result, kind=MEMORY).set_index("due")[["mib"]],
        ),
        Panel(
            title="Answers by the model", x="connections", y="queries/s", bars=True,
            of=lambda result: _crowds(result, rate="queries/s"),
        ),
        Panel(
            title="Latency", x="connections", y="ms", bars=True,
            of=lambda result: _crowds(result, p50_ms="median", p99_ms="P99", next_ms="next"),
        ),
    ),
)  # fmt: skip
