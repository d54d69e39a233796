"""`make bench-tail`: the tail of latency at 70 % of capacity, alone and with one disturbance each.

Without names all scenarios; `steady` is measured with any, as all are compared with it. A target
that is missed is said so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.study import RESULTS, Measured, Study, add_names, stored
from benchmarks.tables import markdown, replaced
from benchmarks.tail.bench import SHARE, measured
from benchmarks.tail.bench import Measured as Scenario
from benchmarks.tail.judging import Tails, draw, notes, rows, targets
from benchmarks.tail.scenarios import SCENARIOS
from scripts.stack.layout import ROOT


def measure(session: Session) -> Tails:
    """Measure what is chosen; the other scenarios stay as they were measured last."""
    found = {one.name: one for one in _known(session)}
    chosen = session.options.names or list(SCENARIOS)
    found |= {one.name: one for one in measured(chosen, session=session)}
    return Tails(scenarios=[found[name] for name in SCENARIOS if name in found])


def _known(session: Session) -> list[Scenario]:
    try:
        return stored(TAIL, results=session.results).scenarios
    except Failed:
        return []


TAIL = Experiment(
    name="tail",
    title="The tail of latency",
    workload=f"an open loop at {SHARE:.0%} of what a closed one gets answered",
    systems=("a stack, one scenario after the other", "a bare echo server"),
    result=Tails,
    measure=measure,
    targets=targets,
    draw=draw,
    table=rows,
    notes=notes,
)


def options(parser: argparse.ArgumentParser) -> None:
    add_names(parser, known=SCENARIOS)


def publish(page: str, measured: Sequence[Measured]) -> str:
    ((_, result),) = measured
    return replaced(page, mark="measured", text=markdown(rows(result)))


STUDY = Study(
    name="bench-tail",
    module="tail",
    about=__doc__,
    experiments=(TAIL,),
    folder=RESULTS / "tail",
    page=ROOT / "docs/results/tail.md",
    quick="a first look, in two minutes",
    options=options,
    publish=publish,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
