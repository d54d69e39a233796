"""`make bench-environments`: what a query costs whose model runs in an environment of its own."""

from __future__ import annotations

import argparse
from importlib.metadata import version

from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records
from benchmarks.linear import LINEAR_SLO_MS, body, enlarged, large_bodies, linear_artifact
from benchmarks.stack import Stack, running_stack
from benchmarks.study import Study
from benchmarks.telling import Target
from registry.demo.digits import held_out

OWN, BESIDE = "bench-own", "bench-beside"
# What the stack has, and one more that it lacks, so that an environment is built.
SAME = ("numpy", "scipy", "scikit-learn", "skops", "msgspec", "pysimdjson")
ANOTHER = "toolz==1.0.0"
ROUNDS, MANY, SECONDS, WARM_SECONDS = 7, 64, 4, 5


def measure(session: Session) -> Records:
    """Ask both in turn; whoever began last time comes second this time."""
    found: Records = []
    with running_stack(say=session.say) as stack:
        bodies = large_bodies(stack.folder / "bodies.txt")
        _publish(stack)
        loads = {
            (name, connections): stack.load(name, bodies=bodies, connections=connections)
            for name in (OWN, BESIDE)
            for connections in (MANY, 1)
        }
        for name in (OWN, BESIDE):
            stack.wrk.run(loads[name, MANY], seconds=WARM_SECONDS)
        for number in range(session.options.rounds):
            turn: dict[str, float] = {}
            for name in (OWN, BESIDE) if number % 2 else (BESIDE, OWN):
                turn[f"{name} rate"] = stack.wrk.run(loads[name, MANY], seconds=SECONDS).rate
                one = stack.wrk.run(loads[name, 1], seconds=SECONDS)
                turn[f"{name} ms"] = one.p50_us / 1000
            found.append(turn)
            session.say("  ".join(f"{what} {seen:,.2f}" for what, seen in sorted(turn.items())))
    return found


def _publish(stack: Stack) -> None:
    first = body(enlarged(held_out()[0][:1])[0], decimals=5).encode()
    same = "\n".join([ANOTHER, *(f"{name}=={version(name)}" for name in SAME)])
    for name, requirements in ((OWN, ""), (BESIDE, same)):
        stack.publish(name, artifact=linear_artifact(), requirements=requirements)
        stack.route(name, name, slo_ms=LINEAR_SLO_MS, body=first)


def targets(result: Frame) -> list[Target]:
    rate = (result[f"{BESIDE} rate"] / result[f"{OWN} rate"]).median()
    latency = (result[f"{BESIDE} ms"] / result[f"{OWN} ms"]).median()
    return [
        Target("answers in a second, beside : in the replica's process", rate, "≥ 0.9"),
        Target("median latency of one client, likewise", latency, "≤ 1.1"),
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=ROUNDS)


STUDY = Study(
    name="environments",
    about=__doc__,
    experiments=(
        Experiment(
            name="environments",
            title="A model in an environment of its own",
            workload=f"wrk, {MANY} connections and one, {SECONDS} s each, every query a new one",
            systems=("in the replica's own process", "in an environment beside it"),
            measure=measure,
            targets=targets,
        ),
    ),
    add_options=add_options,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
