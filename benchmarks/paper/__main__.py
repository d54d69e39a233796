"""`make bench-paper`: the paper's Figures 3 to 10, an overload and feedback, measured and judged.

Without names all of them. Each leaves its numbers as JSON and a chart as PNG. A target that is
missed is said so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.command import say
from benchmarks.figures import records
from benchmarks.figures.claims import Claim, verdicts
from benchmarks.figures.experiment import Experiment
from benchmarks.load import LoadFailed
from benchmarks.management import ManagementFailed
from benchmarks.paper.closed_loop import LoopFailed
from benchmarks.paper.containers import ContainerFailed
from benchmarks.paper.feedback import FEEDBACK
from benchmarks.paper.fig3 import FIG3
from benchmarks.paper.fig4 import FIG4
from benchmarks.paper.fig5 import FIG5
from benchmarks.paper.fig6 import FIG6
from benchmarks.paper.fig7 import FIG7
from benchmarks.paper.fig8 import FIG8
from benchmarks.paper.fig9 import FIG9
from benchmarks.paper.fig10 import FIG10
from benchmarks.paper.models import Zoo
from benchmarks.paper.overload_figure import OVERLOAD
from benchmarks.paper.page import with_table
from benchmarks.paper.probe import ProbeFailed
from benchmarks.paper.session import Session
from benchmarks.servers import ServerFailed
from scripts.stack.layout import ROOT

EXPERIMENTS: dict[str, Experiment[Any]] = {
    experiment.name: experiment
    for experiment in (
        *(FIG3, FIG4, FIG5, FIG6, OVERLOAD),
        *(FIG7, FIG8, FIG9, FIG10, FEEDBACK),
    )
}
RESULTS = ROOT / "benchmarks/results/paper"
PICTURES, PAGE = ROOT / "docs/images/paper", ROOT / "docs/results/paper.md"
# What can go wrong with what is measured, each with a message that says enough.
FAILURES = (
    *(ContainerFailed, ProbeFailed, LoopFailed, records.NothingMeasured),
    *(ServerFailed, ManagementFailed, LoadFailed),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return command.run("bench-paper", lambda: run(options), failures=FAILURES)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    command.add_names(parser, known=EXPERIMENTS, to="figures")
    parser.add_argument("--quick", action="store_true", help="a first look, in about four minutes")
    command.add_results(parser, folder=RESULTS, page=PAGE)
    return parser


def run(options: argparse.Namespace) -> None:
    chosen = [EXPERIMENTS[name] for name in options.figures or EXPERIMENTS]
    results: Path = options.results
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="clipper-paper-") as folder:
        zoo = Zoo(results / "models", say=say)
        session = Session(folder=Path(folder), zoo=zoo, quick=options.quick, say=say)
        for experiment in chosen:
            if not options.redraw:
                records.measure(experiment, session=session, results=results)
            claims += records.report(experiment, results=results)
    if options.publish:
        publish(chosen, results=results)
    say(f"\n{verdicts(claims)}\n\nNumbers and charts: {results}")


def publish(chosen: Sequence[Experiment[Any]], *, results: Path) -> None:
    """Put these figures, as they were measured last, into the docs."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    claims: list[Claim] = []
    for experiment in chosen:
        claims += records.report(experiment, results=results)
        shutil.copy(records.chart(experiment, results=results), PICTURES)
    PAGE.write_text(with_table(PAGE.read_text(), claims=claims, order=tuple(EXPERIMENTS)))


if __name__ == "__main__":
    raise SystemExit(main())
