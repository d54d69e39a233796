"""`make bench-tail`: the tail of latency at 70 % of capacity, alone and with one disturbance each.

Without names all scenarios; `steady` is measured with any, as all are compared with it. A target
that is missed is said so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks import command
from benchmarks.command import say
from benchmarks.figures.claims import verdicts
from benchmarks.figures.records import NothingMeasured
from benchmarks.load import LoadFailed
from benchmarks.management import ManagementFailed
from benchmarks.pages import markdown, replaced
from benchmarks.servers import ServerFailed
from benchmarks.tail import judging, records
from benchmarks.tail.bench import FULL, QUICK, measure
from benchmarks.tail.console import SignInFailed
from benchmarks.tail.scenarios import SCENARIOS, STEADY
from scripts.stack.layout import ROOT

RESULTS = ROOT / "benchmarks/results/tail"
PICTURES, PAGE = ROOT / "docs/images/tail", ROOT / "docs/results/tail.md"
# What can go wrong with what is measured, each with a message that says enough.
FAILURES = (
    *(ServerFailed, ManagementFailed, LoadFailed, SignInFailed, NothingMeasured),
    *(httpx.HTTPError, subprocess.SubprocessError),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return command.run("bench-tail", lambda: run(options), failures=FAILURES)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tail", description=__doc__)
    command.add_names(parser, known=SCENARIOS, to="scenarios")
    parser.add_argument("--quick", action="store_true", help="a first look, in two minutes")
    command.add_results(parser, folder=RESULTS, page=PAGE)
    return parser


def run(options: argparse.Namespace) -> None:
    results: Path = options.results
    names = [*(options.scenarios or SCENARIOS), STEADY]
    if not options.redraw:
        command.need_wrk()
        length = QUICK if options.quick else FULL
        records.write(measure(names, length=length, say=say), quick=options.quick, results=results)
    drawn = records.draw_all(results)
    chosen = [one for one in drawn if one.name in names]
    say(f"\n{judging.as_text(chosen)}\n\nThe worst stretches\n{judging.spikes(chosen)}")
    if doubts := judging.doubts(chosen):
        say(f"\n{doubts}")
    say(f"\n{verdicts(judging.claims(chosen))}\n\nNumbers and chart: {results}")
    if options.publish:
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copy(results / records.CHART, PICTURES)
        text = markdown(judging.rows(drawn))
        PAGE.write_text(replaced(PAGE.read_text(), mark="measured", text=text))


if __name__ == "__main__":
    raise SystemExit(main())
