"""`make bench`: Clipper beside a bare echo server, in alternating rounds on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import compare
from benchmarks.compare import CLIPPER, ECHO, LOADED, Entrant, Entry, Host, Row
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records, of
from benchmarks.linear import LINEAR, large_bodies, publish_linear, small_bodies
from benchmarks.stack import DIGITS, running_stack
from benchmarks.study import Study
from benchmarks.telling import Columns, Rows, Target

ROUNDS, SECONDS = 3, 5
# What Clipper tells of itself, whose cores were busy, and the CPU time of the server for a query.
INSIDE: Columns = {
    "server us": ("server_us", "{:.0f}"),
    "hits": ("hits", "{:.1%}"),
    "defaults": ("defaults", "{:.2%}"),
    "late": ("late", "{:.2%}"),
    "batch": ("batch", "{:.1f}"),
    "batch ms": ("batch_ms", "{:.2f}"),
    "model ms": ("model_ms", "{:.2f}"),
    **{role: (role, "{:.0%}") for role in ("replicas", "redis", "wrk", "elsewhere")},
}


@contextmanager
def clipper(folder: Path) -> Iterator[Host]:
    with running_stack(say=print) as stack:
        publish_linear(stack)
        small = small_bodies(folder / "64.txt")
        stack.wait_until_answered(DIGITS, body=small.read_bytes().splitlines()[0])
        bodies = {DIGITS: small, LINEAR: large_bodies(folder / "784.txt")}
        rows = [
            Row(f"{name} {kind}", stack.url_of(name), file, unique=kind == "misses")
            for name, file in bodies.items()
            for kind in ("misses", "hits")
        ]
        yield Host(
            rows=rows, processes=lambda: stack.processes, server="predict", wrk=stack.wrk,
            client=stack.client,
        )  # fmt: skip


def echoed(folder: Path) -> dict[str, Path]:
    return {"64": small_bodies(folder / "64.txt"), "784": large_bodies(folder / "784.txt")}


def measure(session: Session) -> Records:
    entrants = [Entrant(ECHO, "", partial(compare.echo, echoed)), Entrant(CLIPPER, "", clipper)]
    return compare.compared(session, entrants, full=(1, LOADED), rounds=ROUNDS, seconds=SECONDS)


def table(result: Frame) -> Rows:
    def beside_echo(entry: Entry) -> float:
        bodies = "64" if DIGITS in entry[1] else "784"
        same = entry[0] == ECHO
        return float("nan") if same else compare.ratio(result, entry, (ECHO, bodies))

    return compare.table_of(result, INSIDE, beside_echo, what="x echo")


def targets(result: Frame) -> list[Target]:
    return [Target("errors", of(result, kind=compare.LOAD)["errors"].sum(), "≤ 0")]


STUDY = Study.of(
    Experiment(
        name="quick",
        title="Clipper beside a bare echo server",
        workload="wrk, 64 connections and one; each query a new one, or known to the cache",
        systems=("a stack", "a bare echo server"),
        measure=measure,
        targets=targets,
        table=table,
        notes=compare.notes,
    ),
    about=__doc__,
    quick="one short round, for a first look",
    options=compare.OPTIONS,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
