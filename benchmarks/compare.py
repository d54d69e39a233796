"""Servers beside each other under the same closed loads, in rounds: `make bench`, and its peers."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.command import FAILURES, Failed
from benchmarks.experiment import Session, turns
from benchmarks.frames import Frame, Record, Records, mid, of
from benchmarks.loads import sampled
from benchmarks.processes import Processes, processes_by_role, read_memory
from benchmarks.servers import running_echo
from benchmarks.study import QUIET, Options
from benchmarks.telling import Columns, Rows, rows_of
from benchmarks.wrk import Load, LoadGenerator

CLIPPER, ECHO = "Clipper", "Echo"
ALONE, LOADED = 1, 64
WARM_UP_SECONDS = 1
REASON_LENGTH = 1500
# A record is of a load, or of a server that was left out.
LOAD, FAILURE = "load", "failure"
COUNT = "{:,.0f}"


class Row(NamedTuple):
    """One way of asking a server. What is `unique` is a question that nobody has asked before."""

    setting: str
    url: str
    bodies: Path
    unique: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A running server; `server` is the role of what answers among its processes. `client` is there
    where Clipper's own counters can be read.
    """

    rows: Sequence[Row]
    processes: Callable[[], Processes]
    server: str
    wrk: LoadGenerator
    client: httpx.Client | None = None


@contextmanager
def echo(bodies: Callable[[Path], Mapping[str, Path]], *, folder: Path) -> Iterator[Host]:
    """The bare echo server, asked with the `bodies` that are written into its folder."""
    with running_echo(folder) as server:
        yield Host(
            rows=[Row(name, f"{server.url}/", file) for name, file in bodies(folder).items()],
            processes=lambda: processes_by_role(server.pid, replicas={}),
            server="echo",
            wrk=LoadGenerator(api_key="none"),
        )


class Entrant(NamedTuple):
    """Something that can be started in an empty `folder`, and measured."""

    server: str
    setting: str
    start: Callable[..., AbstractContextManager[Host]]


def compared(
    session: Session,
    entrants: Sequence[Entrant],
    *,
    full: tuple[int, ...],
    rounds: int,
    seconds: int,
) -> Records:
    """Start one after the other in every round, there and back, and put every load on each. `full`
    are the connections of a run that isn't quick. Who fails is named and left out.
    """
    options, found = session.options, []
    rounds = options.rounds or (1 if session.quick else rounds)
    connections = (ALONE, LOADED) if session.quick else full
    seconds = options.seconds or (2 if session.quick else seconds)
    for turn, entrant in turns(entrants, rounds=rounds):
        session.say(f"Round {turn} of {rounds}: {entrant.server} {entrant.setting}".rstrip())
        try:
            for record in _visit(entrant, connections, seconds=seconds):
                session.say("  {setting} {connections:4}: {rate:,.0f} queries/s".format(**record))
                found.append(record | {"round": turn})
        except FAILURES as error:
            reason = str(error)[:REASON_LENGTH] or type(error).__name__
            found.append(left_out(entrant.server, entrant.setting, reason))
            session.say(f"  left out: {reason}")
    return found


def left_out(server: str, setting: str, reason: str) -> Record:
    return {"kind": FAILURE, "server": server, "setting": setting, "reason": reason}


def _visit(entrant: Entrant, connections: Sequence[int], *, seconds: int) -> Iterator[Record]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        entrant.start(folder=Path(folder)) as host,
    ):
        for setting, url, bodies, unique in host.rows:
            for count in connections:
                load = Load(url=url, bodies=bodies, unique=unique, connections=count)
                host.wrk.run(load, seconds=WARM_UP_SECONDS)
                seen = sampled(
                    load, wrk=host.wrk, seconds=seconds, processes=host.processes(),
                    server=host.server, client=host.client,
                )  # fmt: skip
                if not seen["answered"]:
                    raise Failed(f"none of {count} connections was answered: {seen}")
                about = {"kind": LOAD, "server": entrant.server, "setting": setting}
                yield seen | about | read_memory(host.processes())


OPTIONS: Options = {
    "--rounds": {"type": int, "help": "instead of the usual number"},
    "--seconds": {"type": int, "help": "of each load"},
}


# What it amounts to.

Entry = tuple[str, str]


def loads(result: Frame, entry: Entry, *, connections: int = LOADED) -> Frame:
    server, setting = entry
    return of(result, kind=LOAD, server=server, setting=setting, connections=connections)


def entries(result: Frame) -> list[Entry]:
    """Every server and setting that was measured, in the order of the first round."""
    seen = of(result, kind=LOAD)[["server", "setting"]].drop_duplicates()
    return list(seen.itertuples(index=False, name=None))


def title(entry: Entry) -> str:
    return ", ".join(filter(None, entry))


def ratio(
    result: Frame, ours: Entry, theirs: Entry, *, what: str = "rate", connections: int = LOADED
) -> float:
    """Median of the ratios within the rounds that both have: a slow one is slow for both."""
    one, other = (loads(result, entry, connections=connections) for entry in (ours, theirs))
    if not len(one) or not len(other):
        return float("nan")
    return float((one.set_index("round")[what] / other.set_index("round")[what]).median())


def table_of(result: Frame, more: Columns, beside: Callable[[Entry], float], *, what: str) -> Rows:
    """A row for each server and setting: medians of the rounds, and of LOADED connections `more`.
    `beside` is a ratio of each that is to be told of, `what` its name.
    """
    columns: dict[str, Any] = {"server": ("server", str), "setting": ("setting", str)}
    records = []
    for entry in entries(result):
        every = of(result, kind=LOAD, server=entry[0], setting=entry[1])
        busy, alone = loads(result, entry), loads(result, entry, connections=ALONE)
        record: Record = {"server": entry[0], "setting": entry[1], "ratio": beside(entry)}
        for count in map(int, every["connections"].unique()):
            record[f"at {count}"] = mid(every, "rate", connections=count)
            columns[f"queries/s at {count}"] = (f"at {count}", COUNT)
        spread = f"{busy['rate'].min():,.0f}-{busy['rate'].max():,.0f}"
        sums = every[["rss", "pss"]].max().to_dict() | {"errors": every["errors"].sum()}
        told = {field: mid(busy, field) for field in busy.select_dtypes("number")}
        records.append(told | record | sums | {"spread": spread, "alone": mid(alone, "p50_ms")})
    columns |= {
        f"spread at {LOADED}": ("spread", str),
        what: ("ratio", "{:.2f}"),
        "P50 alone, ms": ("alone", "{:.2f}"),
        f"P50 at {LOADED}, ms": ("p50_ms", "{:.2f}"),
        f"P99 at {LOADED}, ms": ("p99_ms", "{:.1f}"),
        "errors": ("errors", COUNT),
        f"cores at {LOADED}": ("cores", "{:.2f}"),
    }
    return rows_of(Frame(records), {**columns, **more})


def notes(result: Frame) -> str:
    """Return the servers left out, and the number of loads that other processes disturbed."""
    lines = [
        f"Left out: {title((one['server'], one['setting']))}: {one['reason']}"
        for one in of(result, kind=FAILURE).to_dict("records")
    ]
    every = of(result, kind=LOAD)
    if disturbed := int((every["elsewhere"] > QUIET).sum()):
        lines.append(
            f"Doubtful: in {disturbed} of {len(every)} loads other processes kept more than "
            f"{QUIET:.0%} of a core busy; run it again on a quiet machine."
        )
    return "\n".join(lines)
