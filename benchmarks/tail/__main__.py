"""`make bench-tail`: the tail of latency at 70 % of capacity, alone and with one disturbance each.

Without names all scenarios; `steady` is measured with any, as all are compared with it. A target
that is missed is said so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import httpx

from benchmarks.load import LoadFailed
from benchmarks.management import ManagementFailed
from benchmarks.paper.claims import verdicts
from benchmarks.paper.records import NothingMeasured
from benchmarks.servers import ServerFailed
from benchmarks.tail import judging, records
from benchmarks.tail.bench import FULL, QUICK, measure
from benchmarks.tail.console import SignInFailed
from benchmarks.tail.scenarios import SCENARIOS, STEADY
from scripts.stack.layout import ROOT

RESULTS = ROOT / "benchmarks/results/tail"
PICTURES, PAGE = ROOT / "docs/images/tail", ROOT / "docs/tail.md"
# What can go wrong with what is measured, each with a message that says enough.
FAILURES = (
    *(ServerFailed, ManagementFailed, LoadFailed, SignInFailed, NothingMeasured),
    *(httpx.HTTPError, subprocess.SubprocessError),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parsing = parser()
    options = parsing.parse_args(arguments)
    unknown = sorted(set(options.scenarios) - SCENARIOS.keys())
    if unknown:
        parsing.error(f"expected {', '.join(SCENARIOS)}; got {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, _interrupt)
    if not options.redraw and shutil.which("wrk") is None:
        print("bench-tail: wrk isn't installed; on Debian: apt-get install wrk", file=sys.stderr)
        return 1
    try:
        run(options)
    except FAILURES as error:
        print(f"bench-tail: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench-tail: interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tail", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="a first look, in two minutes")
    parser.add_argument("--redraw", action="store_true", help="only draw what was measured before")
    parser.add_argument(
        "--publish", action="store_true", help=f"update {PAGE.relative_to(ROOT)} and its picture"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(text: str) -> None:
    print(text, flush=True)


def run(options: argparse.Namespace) -> None:
    results: Path = options.results
    names = [*(options.scenarios or SCENARIOS), STEADY]
    if not options.redraw:
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
        PAGE.write_text(judging.with_table(PAGE.read_text(), measured=drawn))


if __name__ == "__main__":
    raise SystemExit(main())
