"""What a run leaves; medians, spreads and ratios of it, the targets, the table and the chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import msgspec
from matplotlib.figure import Figure

from benchmarks import charts
from benchmarks.peers.alone import Alone
from benchmarks.peers.hosts import CLIPPER, ECHO, HITS, MISSES
from benchmarks.peers.peer import Peer
from benchmarks.peers.roster import ROSTER
from benchmarks.study import QUIET
from benchmarks.tables import DASH, Rows
from benchmarks.targets import Target
from benchmarks.wrk import WrkResult

ALONE, LOADED = 1, 64
P99_MS, OF_ECHO, OF_P50 = 20.0, 0.6, 0.5
COLOURS = {CLIPPER: charts.BLUE, ECHO: charts.PAPER}
BAR, GAP = 0.78, 0.45

ByRound = Mapping[int, float]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One load. `cores` is what the server's processes kept busy, `elsewhere` anybody else."""

    connections: int
    wrk: WrkResult
    cores: float
    elsewhere: float

    @property
    def p50_ms(self) -> float:
        return self.wrk.p50_us / 1e3

    @property
    def p99_ms(self) -> float:
        return self.wrk.p99_us / 1e3

    @property
    def rate(self) -> float:
        return self.wrk.rate


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One server under one setting in one round. `defaults` are answers without a prediction."""

    round: int
    server: str
    setting: str
    loads: list[Measured]
    processes: int
    rss_mib: float
    pss_mib: float
    defaults: int = 0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no visit."""

    round: int
    server: str
    setting: str
    reason: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    cores: int
    python: str
    system: str


class Entry(NamedTuple):
    """A line of the tables."""

    server: str
    setting: str

    @property
    def title(self) -> str:
        return f"{self.server}, {self.setting}" if self.setting else self.server


OURS, OURS_HITS, THEIR_ECHO = Entry(CLIPPER, MISSES), Entry(CLIPPER, HITS), Entry(ECHO, "")


class Results(msgspec.Struct, kw_only=True):
    machine: Machine
    quick: bool
    seconds_each: int
    connections: list[int]
    took_seconds: float = 0.0
    alone: list[Alone] = []
    visits: list[Visit] = []
    failures: list[Failure] = []

    def entries(self) -> list[Entry]:
        """Everything that was measured at least once, in the order of the first round."""
        return list(dict.fromkeys(Entry(one.server, one.setting) for one in self.visits))

    def of(self, entry: Entry, what: str, *, connections: int = LOADED) -> ByRound:
        """Return a number of each round's load with so many connections."""
        return {
            visit.round: getattr(load, what)
            for visit in self.visits_of(entry)
            for load in visit.loads
            if load.connections == connections
        }

    def memory(self, entry: Entry, what: str) -> float:
        return middle({visit.round: getattr(visit, what) for visit in self.visits_of(entry)})

    def errors(self, entry: Entry) -> int:
        return sum(load.wrk.errors for visit in self.visits_of(entry) for load in visit.loads)

    def defaults(self, entry: Entry) -> int:
        return sum(visit.defaults for visit in self.visits_of(entry))

    @property
    def disturbed(self) -> tuple[int, int]:
        """How many loads had to share the machine with other processes, and of how many."""
        loads = [load for visit in self.visits for load in visit.loads]
        return sum(load.elsewhere > QUIET for load in loads), len(loads)

    def visits_of(self, entry: Entry) -> list[Visit]:
        return [one for one in self.visits if (one.server, one.setting) == entry]


def middle(values: ByRound) -> float:
    return median(values.values()) if values else float("nan")


def ratio(ours: ByRound, theirs: ByRound) -> float:
    """Median of the ratios within the rounds that both have: a slow one is slow for both."""
    return middle({one: ours[one] / theirs[one] for one in ours.keys() & theirs.keys()})


def throughput_ratio(results: Results, entry: Entry) -> float:
    return ratio(results.of(OURS, "rate"), results.of(entry, "rate"))


# What must hold. A peer's throughput is that of the setting in which it does best; its latency is
# judged under each.


def targets(results: Results, *, peers: Sequence[Peer] = ROSTER) -> list[Target]:
    """Judge Clipper by itself, and beside each of those peers that were measured."""
    judged = [*_by_itself(results)]
    for peer in peers:
        if entries := [entry for entry in results.entries() if entry.server == peer.title]:
            judged.append(_throughput(results, peer=peer, entries=entries))
            judged += [_latency(results, entry=entry) for entry in entries]
    return judged


def _by_itself(results: Results) -> Iterator[Target]:
    yield Target(
        figure=CLIPPER,
        what=f"P99 of misses, {LOADED} connections",
        seen=middle(results.of(OURS, "p99_ms")),
        at_most=P99_MS,
        unit=" ms",
    )
    yield Target(
        figure=CLIPPER,
        what=f"queries/s, {LOADED} connections, hits : bare echo",
        seen=ratio(results.of(OURS_HITS, "rate"), results.of(THEIR_ECHO, "rate")),
        at_least=OF_ECHO,
    )
    yield Target(
        figure=CLIPPER,
        what="errors and default answers",
        seen=float(sum(results.errors(one) + results.defaults(one) for one in (OURS, OURS_HITS))),
        at_most=0.0,
    )


def _throughput(results: Results, *, peer: Peer, entries: Sequence[Entry]) -> Target:
    seen, best = min((throughput_ratio(results, entry), entry) for entry in entries)
    return Target(
        figure=peer.title,
        what=f"queries/s, {LOADED} connections, Clipper : {best.title}",
        seen=seen,
        at_least=peer.at_least,
    )


def _latency(results: Results, *, entry: Entry) -> Target:
    ours, theirs = (results.of(one, "p50_ms", connections=ALONE) for one in (OURS, entry))
    return Target(
        figure=entry.server,
        what=f"P50 of a single client, Clipper : {entry.title}",
        seen=ratio(ours, theirs),
        at_most=OF_P50,
    )


# How it is shown.


def table_of(results: Results) -> Rows:
    """One row for each server and setting: medians of the rounds."""
    header = (
        "server", "setting", *(f"queries/s at {count}" for count in results.connections),
        f"spread at {LOADED}", "Clipper : it", "P50 alone, ms", f"P50 at {LOADED}, ms",
        f"P99 at {LOADED}, ms", "errors", f"cores at {LOADED}", "RSS, MiB", "PSS, MiB",
    )  # fmt: skip
    return [header, *(_row(results, entry) for entry in results.entries())]


def _row(results: Results, entry: Entry) -> Sequence[str]:
    def at(what: str, *, connections: int = LOADED) -> float:
        return middle(results.of(entry, what, connections=connections))

    rates = results.of(entry, "rate").values()
    return (
        entry.server,
        entry.setting or DASH,
        *(f"{at('rate', connections=count):,.0f}" for count in results.connections),
        f"{min(rates):,.0f}-{max(rates):,.0f}" if rates else DASH,
        DASH if entry == OURS else f"{throughput_ratio(results, entry):.2f}",
        f"{at('p50_ms', connections=ALONE):.2f}",
        f"{at('p50_ms'):.2f}",
        f"{at('p99_ms'):.1f}",
        f"{results.errors(entry):,}",
        f"{at('cores'):.2f}",
        f"{results.memory(entry, 'rss_mib'):,.0f}",
        f"{results.memory(entry, 'pss_mib'):,.0f}",
    )


def conditions(results: Results) -> str:
    """How it was measured, and what a reader must know beside the numbers."""
    lines = [_alone_line(results), ""]
    lines.append(
        f"Rounds: {len({visit.round for visit in results.visits})}, each load for "
        f"{results.seconds_each} s, on {results.machine.cores} cores, Python "
        f"{results.machine.python}; {results.took_seconds / 60:.0f} minutes in all."
    )
    lines += [
        f"Left out in round {one.round}: {Entry(one.server, one.setting).title}: {one.reason}"
        for one in results.failures
    ]
    disturbed, loads = results.disturbed
    if disturbed:
        lines.append(
            f"Doubtful: in {disturbed} of {loads} loads other processes kept more than "
            f"{QUIET:.0%} of a core busy; run it again on a quiet machine."
        )
    return "\n".join(lines)


def _alone_line(results: Results) -> str:
    """What the model does without any server."""
    if not results.alone:
        return "The model alone was not measured."
    predicting = median(one.predicting for one in results.alone)
    parsing_too = median(one.parsing_too for one in results.alone)
    return (
        f"The model alone, batches of 64 in one process: {predicting:,.0f} rows/s; "
        f"with the parsing of each row's JSON {parsing_too:,.0f} rows/s."
    )


def draw(results: Results) -> Figure:
    """Queries a second and latencies of every server, under each of its settings."""
    entries = results.entries()
    figure = charts.styled(
        title="Clipper beside other prediction servers",
        subtitle="The same LinearSVC, 784 numbers as JSON, one worker, batches of up to 64; "
        "two cores for the server and the load generator.",
        width=11.0,
        height=1.6 + 0.27 * len(entries),
    )
    panels = charts.panels(figure, columns=3, sharey=True)
    places = _places(entries)
    colours = [COLOURS.get(entry.server, charts.TEAL) for entry in entries]
    for axes, title, what, connections, text in zip(
        panels,
        (f"Queries/s, {LOADED} connections", "P50 of a single client, ms",
         f"P99, {LOADED} connections, ms"),
        ("rate", "p50_ms", "p99_ms"),
        (LOADED, ALONE, LOADED),
        ("{:,.0f}", "{:.2f}", "{:,.0f}"),
        strict=True,
    ):  # fmt: skip
        values = [middle(results.of(one, what, connections=connections)) for one in entries]
        axes.barh(places, values, height=BAR, color=colours)
        for place, value in zip(places, values, strict=True):
            charts.name_bar(axes, place, value, text=text.format(value))
        axes.set(title=title, xlim=(0, 1.22 * max(values)))
        axes.grid(visible=False, axis="y")
    panels[2].axvline(P99_MS, color=charts.LIMIT, linewidth=1.1, linestyle=charts.DASHED, zorder=1)
    panels[0].set_yticks(places, [entry.title for entry in entries])
    panels[0].set_ylim(places[-1] + 0.7, -0.7)
    panels[0].xaxis.set_major_formatter(charts.THOUSANDS)
    return figure


def _places(entries: Sequence[Entry]) -> list[float]:
    """Rows from the top, a little apart where another server begins."""
    places: list[float] = []
    for number, entry in enumerate(entries):
        another = number > 0 and entries[number - 1].server != entry.server
        places.append((places[-1] + 1 + GAP * another) if places else 0.0)
    return places
