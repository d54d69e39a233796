"""`make bench-environments`: what a query costs whose model runs in an environment of its own."""

from __future__ import annotations

from importlib.metadata import version

from benchmarks.experiment import Experiment, Session, turns
from benchmarks.frames import Frame, Records, of
from benchmarks.linear import LINEAR_SLO_MS, body, enlarged, large_bodies, linear_artifact
from benchmarks.stack import Stack, running_stack
from benchmarks.study import Study
from benchmarks.telling import Target
from benchmarks.wrk import WrkResult
from registry.demo.digits import held_out

OWN, BESIDE = "bench-own", "bench-beside"
# What the stack has, and one more that it lacks, so that an environment is built.
SAME = ("numpy", "scipy", "scikit-learn", "skops", "msgspec", "pysimdjson")
ANOTHER = "toolz==1.0.0"
ROUNDS, MANY, SECONDS, WARM_SECONDS = 7, 64, 4, 5


def measure(session: Session) -> Records:
    """Ask both in turn."""
    found: Records = []
    with running_stack(say=session.say) as stack:
        bodies = large_bodies(stack.folder / "bodies.txt")
        _publish(stack)

        def asked(name: str, *, connections: int, seconds: int = SECONDS) -> WrkResult:
            load = stack.load(name, bodies=bodies, connections=connections)
            return stack.wrk.run(load, seconds=seconds)

        for name in (OWN, BESIDE):
            asked(name, connections=MANY, seconds=WARM_SECONDS)
        for turn, name in turns((OWN, BESIDE), rounds=session.options.rounds):
            rate, one = asked(name, connections=MANY).rate, asked(name, connections=1)
            found.append({"round": turn, "name": name, "rate": rate, "ms": one.p50_us / 1000})
            session.say("  {round}: {name:12} {rate:,.0f}/s, {ms:.2f} ms alone".format(**found[-1]))
    return found


def _publish(stack: Stack) -> None:
    first = body(enlarged(held_out()[0][:1])[0], decimals=5).encode()
    same = "\n".join([ANOTHER, *(f"{name}=={version(name)}" for name in SAME)])
    for name, requirements in ((OWN, ""), (BESIDE, same)):
        stack.publish(name, artifact=linear_artifact(), requirements=requirements)
        stack.route(name, name, slo_ms=LINEAR_SLO_MS, body=first)


def targets(result: Frame) -> list[Target]:
    own, beside = (of(result, name=name).set_index("round") for name in (OWN, BESIDE))
    ratio = (beside[["rate", "ms"]] / own[["rate", "ms"]]).median()
    return [
        Target("answers in a second, beside : in the replica's process", ratio["rate"], "≥ 0.9"),
        Target("median latency of one client, likewise", ratio["ms"], "≤ 1.1"),
    ]


STUDY = Study.of(
    Experiment(
        name="environments",
        title="A model in an environment of its own",
        workload=f"wrk, {MANY} connections and one, {SECONDS} s each, every query a new one",
        systems=("in the replica's own process", "in an environment beside it"),
        measure=measure,
        targets=targets,
    ),
    about=__doc__,
    options={"--rounds": {"type": int, "default": ROUNDS}},
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
