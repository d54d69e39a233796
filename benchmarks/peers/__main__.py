"""`make bench-peers`: Clipper beside other prediction servers, measured in rounds and judged.

Without --only all peers, each installed into an environment of its own the first time. A peer that
can't be installed or doesn't answer rightly is named and left out. A target that is missed is said
so, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from benchmarks.command import FAILURES, Failed
from benchmarks.counters import Change, Samples, published_metrics, read_metrics
from benchmarks.experiment import Experiment, Session, turns
from benchmarks.linear import LINEAR
from benchmarks.peers.alone import measure_alone
from benchmarks.peers.environments import environment
from benchmarks.peers.hosts import (
    CLIPPER,
    ECHO,
    Host,
    Row,
    running_bare_echo,
    running_clipper,
    running_peer,
)
from benchmarks.peers.peer import Questions, questions
from benchmarks.peers.results import (
    Failure,
    Machine,
    Results,
    Visit,
    conditions,
    draw,
    table_of,
    targets,
)
from benchmarks.peers.results import Measured as MeasuredLoad
from benchmarks.peers.roster import PEERS
from benchmarks.processes import read_cpu, read_memory
from benchmarks.study import RESULTS, Measured, Study
from benchmarks.tables import markdown, replaced
from benchmarks.targets import VERDICT, rows
from benchmarks.wrk import Load
from scripts.stack.layout import ROOT

WARM_UP_SECONDS = 1
SERVER = "server"
REASON_LENGTH = 1500
ROUNDS, SECONDS, CONNECTIONS = 3, 4, (1, 16, 64, 128)
QUICK_ROUNDS, QUICK_SECONDS, QUICK_CONNECTIONS = 1, 2, (1, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """Something that can be started in an empty `folder`, and measured."""

    server: str
    setting: str
    start: Callable[..., AbstractContextManager[Host]]


def measure(session: Session) -> Results:
    options, quick = session.options, session.quick
    results = Results(
        machine=Machine(
            cores=os.cpu_count() or 0,
            python=platform.python_version(),
            system=platform.platform(),
        ),
        quick=quick,
        seconds_each=options.seconds or (QUICK_SECONDS if quick else SECONDS),
        connections=list(QUICK_CONNECTIONS if quick else CONNECTIONS),
    )
    asked = questions(session.folder)
    entrants = list(_entrants(asked, results=results, session=session))
    began = time.monotonic()
    rounds = options.rounds or (QUICK_ROUNDS if quick else ROUNDS)
    for number, entrant in turns(entrants, rounds=rounds):
        if len(results.alone) < number:
            results.alone.append(measure_alone(asked))
        session.say(f"Round {number} of {rounds}: {entrant.server} {entrant.setting}".rstrip())
        try:
            _visit(entrant, number=number, results=results, session=session)
        except FAILURES as error:
            reason = str(error)[:REASON_LENGTH] or type(error).__name__
            _leave_out(entrant.server, entrant.setting, reason, number=number, results=results)
            session.say(f"  left out: {reason}")
    results.took_seconds = time.monotonic() - began
    return results


def _entrants(asked: Questions, *, results: Results, session: Session) -> Iterator[Entrant]:
    """Clipper and its yardstick first; a peer once for each of its settings, if it is there."""
    yield Entrant(server=CLIPPER, setting="", start=partial(running_clipper, asked))
    yield Entrant(server=ECHO, setting="", start=partial(running_bare_echo, asked))
    for peer in (PEERS[name] for name in session.options.only):
        try:
            installed = environment(peer.environment, say=session.say)
        except Failed as error:
            session.say(f"{peer.title} can't be installed, and is left out: {error}")
            _leave_out(peer.title, "", f"not installed: {error}", number=0, results=results)
            continue
        for setting in peer.settings:
            start = partial(running_peer, peer, setting, questions=asked, environment=installed)
            yield Entrant(server=peer.title, setting=setting.name, start=start)


def _leave_out(server: str, setting: str, reason: str, *, number: int, results: Results) -> None:
    failure = Failure(round=number, server=server, setting=setting, reason=reason)
    results.failures.append(failure)


def _visit(entrant: Entrant, *, number: int, results: Results, session: Session) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder,
        entrant.start(folder=Path(folder)) as host,
    ):
        for row in host.rows:
            visit = _measure_row(row, host=host, number=number, results=results)
            results.visits.append(visit)
            rates = (f"{load.rate:,.0f} at {load.connections}" for load in visit.loads)
            session.say(f"  {visit.setting or visit.server}: queries/s {', '.join(rates)}")


def _measure_row(row: Row, *, host: Host, number: int, results: Results) -> Visit:
    before = read_metrics(host.client) if host.client else {}
    answered, loads = 0, []
    for connections in results.connections:
        load = Load(url=row.url, bodies=row.bodies, unique=row.unique, connections=connections)
        answered += host.wrk.run(load, seconds=WARM_UP_SECONDS).answered
        loads.append(_measure(load, host=host, seconds=results.seconds_each))
        answered += loads[-1].wrk.answered
    memory = read_memory({SERVER: host.processes()})[SERVER]
    return Visit(
        round=number,
        server=row.server,
        setting=row.setting,
        loads=loads,
        processes=memory.count,
        rss_mib=memory.rss,
        pss_mib=memory.pss,
        defaults=_defaults(host.client, before=before, answered=answered),
    )


def _measure(load: Load, *, host: Host, seconds: int) -> MeasuredLoad:
    processes = {SERVER: host.processes()}
    before = read_cpu(processes)
    wrk = host.wrk.run(load, seconds=seconds)
    cores = read_cpu(processes).cores_since(before)
    if not wrk.answered:
        raise Failed(f"none of {load.connections} connections was answered: {wrk}")
    return MeasuredLoad(
        connections=load.connections, wrk=wrk, cores=cores[SERVER], elsewhere=cores["elsewhere"]
    )


def _defaults(client: httpx.Client | None, *, before: Samples, answered: int) -> int:
    """How many answers were no prediction: what only Clipper tells, and only Clipper gives."""
    if client is None:
        return 0
    after = published_metrics(client, application=LINEAR, before=before, answered=answered)
    return round(Change(before=before, after=after).defaults)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER",
        help=f"beside Clipper and the echo: {', '.join(PEERS)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}")
    parser.add_argument("--seconds", type=int, help=f"of each load; default: {SECONDS}")


def publish(page: str, measured: Sequence[Measured]) -> str:
    ((_, results),) = measured
    text = f"{markdown(table_of(results))}\n{conditions(results)}\n"
    page = replaced(page, mark="measured", text=text)
    judged = rows(targets(results), columns={"server": "figure", **VERDICT})
    return replaced(page, mark="judged", text=markdown(judged))


STUDY = Study(
    name="bench-peers",
    module="peers",
    about=__doc__,
    experiments=(
        Experiment(
            name="peers",
            title="Clipper beside other prediction servers",
            workload="wrk, 784 numbers as JSON, one connection and many",
            systems=(CLIPPER, ECHO, *(peer.title for peer in PEERS.values())),
            result=Results,
            measure=measure,
            targets=targets,
            draw=draw,
            table=table_of,
            notes=conditions,
        ),
    ),
    folder=RESULTS / "peers",
    page=ROOT / "docs/results/peers.md",
    quick="one short round, for a first look",
    options=options,
    publish=publish,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
