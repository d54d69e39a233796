"""The rounds: one server at a time, each with the same loads, there and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from benchmarks.counters import APPLICATION, Change, Samples, published_metrics, read_metrics
from benchmarks.load import Load, LoadFailed, LoadGenerator
from benchmarks.management import ManagementFailed
from benchmarks.peers.alone import measure_alone
from benchmarks.peers.bodies import Questions
from benchmarks.peers.hosts import (
    CLIPPER,
    ECHO,
    Host,
    Row,
    WrongAnswers,
    running_bare_echo,
    running_clipper,
    running_peer,
)
from benchmarks.peers.peer import Peer
from benchmarks.peers.results import Failure, Measured, Results, Visit
from benchmarks.processes import read_cpu, read_memory
from benchmarks.quick import LINEAR
from benchmarks.servers import ServerFailed

WARM_UP_SECONDS = 1
# A server that fails in one of these ways is left out of a round, and the others are not.
FAILURES = (ServerFailed, ManagementFailed, LoadFailed, WrongAnswers, httpx.HTTPError)
SERVER = "server"
REASON_LENGTH = 1500

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """Something that can be started in an empty `folder`, and measured."""

    server: str
    setting: str
    start: Callable[..., AbstractContextManager[Host]]


def entrants(questions: Questions, *, peers: Iterable[tuple[Peer, Path]]) -> Iterator[Entrant]:
    """Clipper and its yardstick first; a peer once for each of its settings."""
    yield Entrant(server=CLIPPER, setting="", start=partial(running_clipper, questions))
    yield Entrant(server=ECHO, setting="", start=partial(running_bare_echo, questions))
    for peer, environment in peers:
        for setting in peer.settings:
            start = partial(
                running_peer, peer, setting, questions=questions, environment=environment
            )
            yield Entrant(server=peer.title, setting=setting.name, start=start)


def measure(
    results: Results, *, entrants: Sequence[Entrant], rounds: int, questions: Questions, say: Say
) -> None:
    """Fill the results in, round by round."""
    for number in range(1, rounds + 1):
        results.alone.append(measure_alone(questions))
        # There and back: a neighbour with a rhythm must not always meet the same server.
        for entrant in entrants if number % 2 else reversed(entrants):
            say(f"Round {number} of {rounds}: {entrant.server} {entrant.setting}".rstrip())
            try:
                _visit(entrant, number=number, results=results, say=say)
            except FAILURES as error:
                reason = str(error)[:REASON_LENGTH] or type(error).__name__
                say(f"  left out: {reason}")
                failure = Failure(
                    round=number, server=entrant.server, setting=entrant.setting, reason=reason
                )
                results.failures.append(failure)


def _visit(entrant: Entrant, *, number: int, results: Results, say: Say) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder,
        entrant.start(folder=Path(folder)) as host,
    ):
        generator = LoadGenerator(api_key=host.api_key)
        for row in host.rows:
            visit = _measure_row(row, host=host, generator=generator, number=number, plan=results)
            results.visits.append(visit)
            say(f"  {_in_words(visit)}")


def _measure_row(
    row: Row, *, host: Host, generator: LoadGenerator, number: int, plan: Results
) -> Visit:
    before = read_metrics(host.client) if host.client else {}
    answered, loads = 0, []
    for connections in plan.connections:
        load = Load(url=row.url, bodies=row.bodies, unique=row.unique, connections=connections)
        answered += generator.run(load, seconds=WARM_UP_SECONDS).answered
        measured = _measure(load, host=host, generator=generator, seconds=plan.seconds_each)
        answered += measured.wrk.answered
        loads.append(measured)
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


def _measure(load: Load, *, host: Host, generator: LoadGenerator, seconds: int) -> Measured:
    processes = {SERVER: host.processes()}
    before = read_cpu(processes)
    wrk = generator.run(load, seconds=seconds)
    cores = read_cpu(processes).cores_since(before)
    if not wrk.answered:
        raise LoadFailed(f"none of {load.connections} connections was answered: {wrk}")
    return Measured(
        connections=load.connections, wrk=wrk, cores=cores[SERVER], elsewhere=cores["elsewhere"]
    )


def _defaults(client: httpx.Client | None, *, before: Samples, answered: int) -> int:
    """How many answers were no prediction: what only Clipper tells, and only Clipper gives."""
    if client is None:
        return 0
    after = published_metrics(client, application=LINEAR, before=before, answered=answered)
    change = Change(before=before, after=after)
    return round(change.total(f"{APPLICATION}defaults_total", of=LINEAR))


def _in_words(visit: Visit) -> str:
    rates = ", ".join(f"{load.wrk.rate:,.0f} at {load.connections}" for load in visit.loads)
    return f"{visit.setting or visit.server}: queries/s {rates}"
