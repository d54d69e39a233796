"""`make bench-growth`: how the cost of a query grows, in seven curves and a snapshot.

Without names all of them. Each leaves its numbers as JSON and a chart as PNG. A target that is
missed is said so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import redis

from benchmarks import command
from benchmarks.command import say
from benchmarks.figures import records
from benchmarks.figures.claims import Claim, verdicts
from benchmarks.figures.experiment import Session
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
PICTURES, PAGE = ROOT / "docs/images/growth", ROOT / "docs/results/growth.md"
# What can go wrong with what is measured, each with a message that says enough.
FAILURES = (
    *(ServerFailed, ManagementFailed, LoadFailed, PlaceFailed, records.NothingMeasured),
    *(httpx.HTTPError, redis.RedisError, subprocess.SubprocessError),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return command.run("bench-growth", lambda: run(options), failures=FAILURES)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    command.add_names(parser, known=CURVES, to="curves")
    parser.add_argument("--quick", action="store_true", help="a first look, in four minutes")
    command.add_results(parser, folder=RESULTS, page=PAGE)
    return parser


def run(options: argparse.Namespace) -> None:
    results: Path = options.results
    chosen = [curve for curve in CURVES.values() if curve.name in (options.curves or CURVES)]
    if not options.redraw:
        command.need_wrk()
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
        session = Session(folder=Path(folder), quick=quick, say=say)
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
