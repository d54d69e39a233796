"""A command that measures experiments: its options, what it leaves, the page that tells of it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks import command, telling
from benchmarks.command import Failed, say
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records
from benchmarks.telling import Target
from clipper_site import ROOT
from core import compiled

RESULTS = ROOT / "benchmarks/results"
# A machine this busy before anything has begun makes every number doubtful.
QUIET = 0.1
LISTEN_SECONDS = 1.0

# Names of options, and what `add_argument` is told of each.
Options = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A command's experiments, `python -m benchmarks.NAME`; some, or `parts`, are chosen by name.

    Each leaves `NAME.json` and its chart in the folder of the results; its tables can be published
    on the page of the study's name. If it is `strict`, a missed target fails the command.
    """

    name: str
    about: str | None
    experiments: Sequence[Experiment]
    quick: str = ""
    strict: bool = False
    options: Options = field(default_factory=dict)
    parts: Collection[str] = ()

    @classmethod
    def of(cls, experiment: Experiment, **about: Any) -> Study:
        """The command of a single experiment, whose name it has."""
        return cls(name=experiment.name, experiments=(experiment,), **about)

    @property
    def page(self) -> Path | None:
        page = ROOT / f"docs/results/{self.name}.md"
        return page if any(one.panels for one in self.experiments) and page.exists() else None

    def main(self, arguments: Sequence[str] | None = None) -> int:
        options = self._parser().parse_args(arguments)
        return command.run(self.name, lambda: self._run(options))

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.name}", description=self.about
        )
        option = parser.add_argument
        known = self.parts or [experiment.name for experiment in self.experiments]
        if len(known) > 1:

            def checked(text: str) -> str:
                if text not in known:
                    raise argparse.ArgumentTypeError(f"expected {', '.join(known)}; got {text}")
                return text

            option("names", nargs="*", type=checked, metavar="NAME", help=", ".join(known))
        if self.quick:
            option("--quick", action="store_true", help=self.quick)
        option("--redraw", action="store_true", help="only show what was measured before")
        if self.page is not None:
            page = self.page.relative_to(ROOT)
            option("--publish", action="store_true", help=f"update {page} and its pictures")
        folder = RESULTS / self.name if self.page else RESULTS
        option("--results", type=Path, default=folder, help="folder of the results")
        for name, how in self.options.items():
            option(name, **how)
        return parser

    def _run(self, options: argparse.Namespace) -> int:
        chosen = self.experiments
        if len(chosen) > 1 and options.names:
            chosen = [one for one in self.experiments if one.name in options.names]
        if not options.redraw:
            self._measure(chosen, options)
        frames = {one.name: stored(one, results=options.results) for one in chosen}
        judged = {one.name: report(one, frames[one.name], options.results) for one in chosen}
        if getattr(options, "publish", False):
            self._publish(chosen, frames, results=options.results)
        say(f"\n{telling.verdicts(judged)}\n\nNumbers and charts: {options.results}")
        holds = all(target.holds for found in judged.values() for target in found)
        return 1 if self.strict and not holds else 0

    def _measure(self, chosen: Sequence[Experiment], options: argparse.Namespace) -> None:
        busy = psutil.cpu_percent(interval=LISTEN_SECONDS) / 100
        if busy > QUIET:
            say(f"Doubtful: before it began the machine was {busy:.0%} busy already.")
        say(f"Stacks answer by {'compiled code' if compiled.build() else 'the Python'}.")
        # Short, as the path of a Unix socket has to fit into 107 bytes.
        with tempfile.TemporaryDirectory(prefix="clipper-bench-") as folder:
            session = Session(folder=Path(folder), results=options.results, options=options)
            try:
                for experiment in chosen:
                    say(f"\n{experiment.title}")
                    write(experiment, experiment.measure(session), session=session, busy=busy)
            finally:
                session.close()

    def _publish(
        self, chosen: Sequence[Experiment], frames: Mapping[str, Frame], *, results: Path
    ) -> None:
        assert self.page is not None
        pictures = ROOT / "docs/images" / self.page.stem
        pictures.mkdir(parents=True, exist_ok=True)
        page = self.page.read_text()
        for experiment in chosen:
            shutil.copy(results / f"{experiment.name}.png", pictures)
            page = published(page, experiment, frames[experiment.name])
        self.page.write_text(page)


def published(page: str, experiment: Experiment, frame: Frame) -> str:
    """Return the page with the table and the verdict of this experiment at its mark; where the
    paper has numbers of its own, they stand beside ours.
    """
    parts = [telling.markdown(experiment.table(frame))] if experiment.table is not None else []
    judged = experiment.targets(frame)
    if any(target.paper for target in judged):
        parts.append(telling.markdown(telling.target_rows(judged)))
    else:
        parts.append(f"{telling.verdict({experiment.name: judged})}\n")
    return telling.replaced(page, mark=experiment.name, text="\n".join(parts))


def write(experiment: Experiment, records: Records, *, session: Session, busy: float) -> None:
    """Write down what was measured, and what it is judged as."""
    judged = experiment.targets(Frame(records))
    document = {
        "machine": [os.cpu_count(), platform.python_version(), platform.platform()],
        "compiled": compiled.build() is not None,
        "busy_before": busy,
        "quick": session.quick,
        "workload": experiment.workload,
        "systems": experiment.systems,
        "targets": [asdict(target) | {"holds": target.holds} for target in judged],
        "result": records,
    }
    session.results.mkdir(parents=True, exist_ok=True)
    file = session.results / f"{experiment.name}.json"
    file.write_bytes(msgspec.json.encode(document, enc_hook=float) + b"\n")


def stored(experiment: Experiment, *, results: Path) -> Frame:
    """Return what was measured last of an experiment."""
    try:
        text = (results / f"{experiment.name}.json").read_bytes()
    except FileNotFoundError as error:
        raise Failed(f"{experiment.name} was not measured yet: {error}") from error
    return Frame(msgspec.json.decode(text)["result"])


def report(experiment: Experiment, frame: Frame, results: Path) -> list[Target]:
    """Show, draw and judge what is written down."""
    if experiment.table is not None:
        say(f"\n{telling.table(experiment.table(frame), left=2)}")
    if experiment.notes is not None and (notes := experiment.notes(frame)):
        say(f"\n{notes}")
    if experiment.panels:
        experiment.draw(frame, to=results / f"{experiment.name}.png")
    return experiment.targets(frame)
