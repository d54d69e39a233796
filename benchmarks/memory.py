"""`make bench-memory`: what a web process has grown by after a million queries and 100 deploys."""

from __future__ import annotations

import threading
from collections.abc import Callable

from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records
from benchmarks.linear import LINEAR, large_bodies, linear_artifact, publish_linear
from benchmarks.processes import MIB, busiest, meanwhile
from benchmarks.stack import running_stack
from benchmarks.study import Study
from benchmarks.telling import Target

FIRST, QUERIES, DEPLOYS = 10_000, 1_000_000, 100
VERSIONS = ("1", "2")
CONNECTIONS, PART_SECONDS = 16, 5
READINGS = 5


def deploys(
    deploy: Callable[[str], None], *, wanted: int, done: list[str], stop: threading.Event
) -> None:
    """Deploy one version after the other, without a pause, until there were enough."""
    while len(done) < wanted and not stop.is_set():
        version = VERSIONS[(len(done) + 1) % len(VERSIONS)]
        deploy(version)
        done.append(version)


def measure(session: Session) -> Records:
    options = session.options
    readings: Records = []
    with running_stack(say=session.say) as stack:
        publish_linear(stack)
        stack.upload(LINEAR, version=VERSIONS[1], artifact=linear_artifact())
        bodies = large_bodies(stack.folder / "bodies.txt")
        load = stack.load(LINEAR, bodies=bodies, connections=CONNECTIONS)
        web, asked = busiest(stack.processes["predict"]), 0
        done: list[str] = []
        deploy = lambda version: stack.deploy(LINEAR, version=version)  # noqa: E731
        work = lambda stop: deploys(deploy, wanted=options.deploys, done=done, stop=stop)  # noqa: E731
        while asked < FIRST:
            asked += stack.wrk.run(load, seconds=1).answered
        with meanwhile(work) as deploying:
            while not readings or asked < options.queries or not deploying.done():
                mib = web.memory_info().rss / MIB
                readings.append({"queries": asked, "deploys": len(done), "rss_mib": mib})
                session.say(f"{asked:>9,} queries, {len(done):>3} deploys: {mib:.0f} MiB")
                asked += stack.wrk.run(load, seconds=PART_SECONDS).answered
        readings.append({"queries": asked, "rss_mib": web.memory_info().rss / MIB})
    return readings


def targets(result: Frame) -> list[Target]:
    """The memory at the end is a mean of some readings."""
    growth = result["rss_mib"].tail(READINGS).mean() / result["rss_mib"].iloc[0]
    return [Target("memory at the end : after the first 10,000 queries", growth, "≤ 1.2")]


STUDY = Study.of(
    Experiment(
        name="memory",
        title="Memory of a predict process",
        workload=f"wrk, {CONNECTIONS} connections, each query a new one",
        systems=("a stack, while versions are deployed",),
        measure=measure,
        targets=targets,
    ),
    about=__doc__,
    options={
        "--queries": {"type": int, "default": QUERIES},
        "--deploys": {"type": int, "default": DEPLOYS},
    },
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
