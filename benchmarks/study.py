"""A command that measures experiments: its options, what it leaves, the page that tells of it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks import charts, command, tables, targets
from benchmarks.command import Failed, say
from benchmarks.experiment import Experiment, Result, Session
from benchmarks.targets import Target
from scripts.stack.layout import ROOT

RESULTS = ROOT / "benchmarks/results"
# A machine this busy before anything has begun makes every number doubtful.
QUIET = 0.1
LISTEN_SECONDS = 1.0

Measured = tuple[Experiment[Any], Any]


def one_by_one(chosen: Sequence[Experiment[Any]], session: Session) -> Iterator[Measured]:
    for experiment in chosen:
        session.say(f"\n{experiment.title}")
        yield experiment, experiment.measure(session)


def add_names(parser: argparse.ArgumentParser, *, known: Collection[str]) -> None:
    """Let some of what is known be chosen, as `names`; without any, all of it."""

    def checked(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"expected {', '.join(known)}; got {text}")
        return text

    parser.add_argument("names", nargs="*", type=checked, metavar="NAME", help=", ".join(known))


def nothing_more(parser: argparse.ArgumentParser) -> None:
    """Most commands have the options that all have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A command's experiments.

    Each leaves `NAME.json` in the folder of the results, and a chart beside it, if it has one. With
    a `page` they can be published into the docs, by `sections`. Where a study is `strict`, a
    target that is missed is a failure of the command.
    """

    name: str
    module: str
    about: str | None
    experiments: Sequence[Experiment[Any]]
    folder: Path = RESULTS
    page: Path | None = None
    quick: str = ""
    named: bool = False
    needs_wrk: bool = True
    strict: bool = False
    options: Callable[[argparse.ArgumentParser], None] = nothing_more
    measure: Callable[[Sequence[Experiment[Any]], Session], Iterable[Measured]] = one_by_one
    publish: Callable[[str, Sequence[Measured]], str] | None = None

    @property
    def names(self) -> list[str]:
        return [experiment.name for experiment in self.experiments]

    def main(self, arguments: Sequence[str] | None = None) -> int:
        options = self.parser().parse_args(arguments)
        return command.run(self.name, lambda: self.run(options))

    def parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.module}", description=self.about
        )
        if self.named:
            add_names(parser, known=self.names)
        if self.quick:
            parser.add_argument("--quick", action="store_true", help=self.quick)
        parser.add_argument(
            "--redraw", action="store_true", help="only show what was measured before"
        )
        if self.page is not None:
            page = self.page.relative_to(ROOT)
            parser.add_argument(
                "--publish", action="store_true", help=f"update {page} and its pictures"
            )
        parser.add_argument(
            "--results", type=Path, default=self.folder, help="folder of the results"
        )
        self.options(parser)
        return parser

    def run(self, options: argparse.Namespace) -> int:
        wanted = (options.names if self.named else None) or self.names
        chosen = [one for one in self.experiments if one.name in wanted]
        if not options.redraw:
            self._measure(chosen, options)
        measured = [(one, stored(one, results=options.results)) for one in chosen]
        judged = [
            target for one, result in measured for target in report(one, result, options.results)
        ]
        if getattr(options, "publish", False):
            self._publish(measured, results=options.results)
        if judged:
            say(f"\n{targets.verdicts(judged)}")
        say(f"\nNumbers and charts: {options.results}")
        return 1 if self.strict and not all(target.holds for target in judged) else 0

    def _measure(self, chosen: Sequence[Experiment[Any]], options: argparse.Namespace) -> None:
        if self.needs_wrk:
            command.need_wrk()
        busy = psutil.cpu_percent(interval=LISTEN_SECONDS) / 100
        if busy > QUIET:
            say(f"Doubtful: before it began the machine was {busy:.0%} busy already.")
        # Short, as the path of a Unix socket has to fit into 107 bytes.
        with tempfile.TemporaryDirectory(prefix="clipper-bench-") as folder:
            session = Session(folder=Path(folder), results=options.results, options=options)
            began = time.monotonic()
            try:
                for experiment, result in self.measure(chosen, session):
                    seconds, began = time.monotonic() - began, time.monotonic()
                    write(experiment, result, session=session, busy=busy, seconds=seconds)
            finally:
                session.close()

    def _publish(self, measured: Sequence[Measured], *, results: Path) -> None:
        """Put these experiments, as they were measured last, into the docs."""
        assert self.page is not None
        assert self.publish is not None
        pictures = ROOT / "docs/images" / self.page.stem
        pictures.mkdir(parents=True, exist_ok=True)
        for experiment, _ in measured:
            shutil.copy(chart(experiment, results=results), pictures)
        self.page.write_text(self.publish(self.page.read_text(), measured))


def write(
    experiment: Experiment[Any], result: Any, *, session: Session, busy: float, seconds: float
) -> None:
    """Write down what was measured, and what it is judged as."""
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "busy_before": busy,
        },
        "quick": session.quick,
        "seconds": seconds,
        "targets": [
            msgspec.structs.asdict(target) | {"holds": target.holds}
            for target in experiment.judged(result)
        ],
        "result": result,
    }
    session.results.mkdir(parents=True, exist_ok=True)
    file = session.results / f"{experiment.name}.json"
    file.write_bytes(msgspec.json.encode(document) + b"\n")


def stored(experiment: Experiment[Result], *, results: Path) -> Result:
    """Return what was measured last of an experiment."""
    try:
        text = (results / f"{experiment.name}.json").read_bytes()
    except FileNotFoundError as error:
        raise Failed(f"{experiment.name} was not measured yet: {error}") from error
    return msgspec.convert(msgspec.json.decode(text)["result"], experiment.result)


def report(experiment: Experiment[Any], result: Any, results: Path) -> list[Target]:
    """Show, draw and judge what is written down."""
    if experiment.table is not None:
        say(f"\n{tables.table(experiment.table(result), left=2)}")
    if experiment.notes is not None and (notes := experiment.notes(result)):
        say(f"\n{notes}")
    if experiment.draw is not None:
        with charts.applied():
            charts.save(experiment.draw(result), chart(experiment, results=results))
    return experiment.judged(result)


def chart(experiment: Experiment[Any], *, results: Path) -> Path:
    return results / f"{experiment.name}.png"
