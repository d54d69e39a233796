"""`make bench-growth`: how the cost of a query grows, in seven curves and a snapshot.

Without names all of them. Each leaves its numbers as JSON and a chart as PNG. A target that is
missed is said so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import redis

from benchmarks.growth.applications import APPLICATIONS
from benchmarks.growth.arms import ARMS
from benchmarks.growth.body_size import BODY
from benchmarks.growth.contexts import CONTEXTS
from benchmarks.growth.curve import Curve
from benchmarks.growth.models import MODELS
from benchmarks.growth.page import with_section
from benchmarks.growth.place import PlaceFailed, Places
from benchmarks.growth.replicas import REPLICAS
from benchmarks.growth.snapshot import SNAPSHOT
from benchmarks.growth.webs import WEB
from benchmarks.load import LoadFailed
from benchmarks.management import ManagementFailed
from benchmarks.paper import records
from benchmarks.paper.claims import Claim, verdicts
from benchmarks.paper.experiment import Session
from benchmarks.paper.models import Zoo
from benchmarks.servers import ServerFailed
from scripts.stack.layout import ROOT

# In this order: the first three need two stacks, and the contexts leave much behind.
CURVES: dict[str, Curve[Any]] = {
    curve.name: curve
    for curve in (
        *(APPLICATIONS, MODELS, SNAPSHOT),
        *(WEB, BODY, REPLICAS, ARMS, CONTEXTS),
    )
}
RESULTS = ROOT / "benchmarks/results/growth"
PICTURES, PAGE = ROOT / "docs/images/growth", ROOT / "docs/growth.md"
# What can go wrong with what is measured, each with a message that says enough.
FAILURES = (
    *(ServerFailed, ManagementFailed, LoadFailed, PlaceFailed, records.NothingMeasured),
    *(httpx.HTTPError, redis.RedisError, subprocess.SubprocessError),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parsing = parser()
    options = parsing.parse_args(arguments)
    unknown = sorted(set(options.curves) - CURVES.keys())
    if unknown:
        parsing.error(f"expected {', '.join(CURVES)}; got {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, _interrupt)
    if not options.redraw and shutil.which("wrk") is None:
        print("bench-growth: wrk isn't installed; on Debian: apt-get install wrk", file=sys.stderr)
        return 1
    try:
        run(options)
    except FAILURES as error:
        print(f"bench-growth: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench-growth: interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("curves", nargs="*", metavar="NAME", help=", ".join(CURVES))
    parser.add_argument("--quick", action="store_true", help="a first look, in four minutes")
    parser.add_argument("--redraw", action="store_true", help="only draw what was measured before")
    parser.add_argument(
        "--publish", action="store_true", help=f"update {PAGE.relative_to(ROOT)} and its pictures"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(text: str) -> None:
    print(text, flush=True)


def run(options: argparse.Namespace) -> None:
    results: Path = options.results
    chosen = [curve for curve in CURVES.values() if curve.name in (options.curves or CURVES)]
    if not options.redraw:
        measure(chosen, quick=options.quick, results=results)
    places = Places(say=say)
    claims: list[Claim] = []
    for curve in chosen:
        claims += records.report(curve.on(places), results=results)
    if options.publish:
        publish(chosen, results=results)
    say(f"\n{verdicts(claims)}\n\nNumbers and charts: {results}")


def measure(chosen: Sequence[Curve[Any]], *, quick: bool, results: Path) -> None:
    places = Places(say=say)
    with tempfile.TemporaryDirectory(prefix="clipper-growth-") as folder:
        zoo = Zoo(Path(folder), say=say)
        session = Session(folder=Path(folder), zoo=zoo, quick=quick, say=say)
        try:
            for curve in chosen:
                records.measure(curve.on(places), session=session, results=results)
        finally:
            places.none()


def publish(chosen: Sequence[Curve[Any]], *, results: Path) -> None:
    """Put these curves, as they were measured last, into the docs."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page, places = PAGE.read_text(), Places(say=say)
    for curve in chosen:
        experiment = curve.on(places)
        result = records.stored(experiment, results=results)
        shutil.copy(records.chart(experiment, results=results), PICTURES)
        page = with_section(
            page, name=curve.name, points=curve.table(result), claims=curve.claims(result)
        )
    PAGE.write_text(page)


if __name__ == "__main__":
    raise SystemExit(main())
