"""`make bench-peers`: Clipper beside other prediction servers, measured in rounds and judged.

Without --only all peers, each installed into an environment of its own the first time. A peer that
can't be installed or doesn't answer rightly is named and left out. A target that is missed is said
so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import command
from benchmarks.command import say
from benchmarks.figures import style
from benchmarks.figures.claims import count
from benchmarks.pages import markdown, replaced
from benchmarks.peers.bodies import questions
from benchmarks.peers.chart import draw
from benchmarks.peers.environments import EnvironmentFailed, environment
from benchmarks.peers.judging import claims
from benchmarks.peers.peer import Peer
from benchmarks.peers.results import Failure, Machine, Results
from benchmarks.peers.roster import PEERS
from benchmarks.peers.rounds import entrants, measure
from benchmarks.peers.tables import alone_line, claims_table, conditions, table_of
from benchmarks.report import table
from benchmarks.servers import ServerFailed
from scripts.stack.layout import ROOT

RESULTS = ROOT / "benchmarks/results/peers"
PAGE, PICTURES = ROOT / "docs/results/peers.md", ROOT / "docs/images/peers"
NUMBERS, CHART = "peers.json", "peers.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    rounds: int
    seconds: int
    connections: tuple[int, ...]


FULL = Plan(rounds=3, seconds=4, connections=(1, 16, 64, 128))
QUICK = Plan(rounds=1, seconds=2, connections=(1, 64))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return command.run(
        "bench-peers", lambda: run(options), failures=(ServerFailed, FileNotFoundError)
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER",
        help=f"beside Clipper and the echo: {', '.join(PEERS)}",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one short round, for a first look")
    parser.add_argument("--rounds", type=int, help=f"default: {FULL.rounds}")
    parser.add_argument("--seconds", type=int, help=f"of each load; default: {FULL.seconds}")
    command.add_results(parser, folder=RESULTS, page=PAGE)
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else FULL
    return Plan(
        rounds=options.rounds or plan.rounds,
        seconds=options.seconds or plan.seconds,
        connections=plan.connections,
    )


def run(options: argparse.Namespace) -> None:
    folder: Path = options.results
    if not options.redraw:
        command.need_wrk()
        results = _measured(plan_of(options), names=options.only, quick=options.quick)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NUMBERS).write_bytes(msgspec.json.encode(results) + b"\n")
    results = msgspec.json.decode((folder / NUMBERS).read_bytes(), type=Results)
    with style.applied():
        style.save(draw(results), folder / CHART)
    report(results)
    if options.publish:
        publish(results, picture=folder / CHART)
    say(f"\nNumbers and chart: {folder}")


def _measured(plan: Plan, *, names: Sequence[str], quick: bool) -> Results:
    results = Results(
        machine=Machine(
            cores=os.cpu_count() or 0,
            python=platform.python_version(),
            system=platform.platform(),
        ),
        quick=quick,
        seconds_each=plan.seconds,
        connections=list(plan.connections),
    )
    peers = list(_installed((PEERS[name] for name in names), failures=results.failures))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        asked = questions(Path(folder))
        measure(
            results,
            entrants=list(entrants(asked, peers=peers)),
            rounds=plan.rounds,
            questions=asked,
            say=say,
        )
    results.took_seconds = time.monotonic() - began
    return results


def _installed(peers: Iterable[Peer], *, failures: list[Failure]) -> Iterator[tuple[Peer, Path]]:
    for peer in peers:
        try:
            yield peer, environment(peer.environment, say=say)
        except EnvironmentFailed as error:
            say(f"{peer.title} can't be installed, and is left out: {error}")
            failures.append(
                Failure(round=0, server=peer.title, setting="", reason=f"not installed: {error}")
            )


def report(results: Results) -> None:
    judged = claims(results, peers=list(PEERS.values()))
    say(f"\n{table(table_of(results), left=2)}")
    say(f"\n{alone_line(results)}\n\n{conditions(results)}")
    say(f"\n{table(claims_table(judged), left=2)}\n\n{count(judged)}")


def publish(results: Results, *, picture: Path) -> None:
    """Put what was measured last into the docs."""
    page = PAGE.read_text()
    judged = claims(results, peers=list(PEERS.values()))
    lines = (markdown(table_of(results)), alone_line(results), conditions(results))
    page = replaced(page, mark="measured", text="\n".join(lines) + "\n")
    page = replaced(page, mark="judged", text=markdown(claims_table(judged)))
    PAGE.write_text(page)
    PICTURES.mkdir(parents=True, exist_ok=True)
    shutil.copy(picture, PICTURES)


if __name__ == "__main__":
    raise SystemExit(main())
