"""What a run leaves, as it is stored; medians, spreads and ratios of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.load import WrkResult
from benchmarks.peers.alone import Alone
from benchmarks.report import QUIET

NOTHING = float("nan")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One load. `cores` is what the server's processes kept busy, `elsewhere` anybody else."""

    connections: int
    wrk: WrkResult
    cores: float
    elsewhere: float


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

    def entries_of(self, server: str) -> list[Entry]:
        return [entry for entry in self.entries() if entry.server == server]

    def by_round(
        self, entry: Entry, connections: int, value: Callable[[Measured], float]
    ) -> dict[int, float]:
        return {
            visit.round: value(load)
            for visit in self._visits(entry)
            for load in visit.loads
            if load.connections == connections
        }

    def rates(self, entry: Entry, connections: int) -> dict[int, float]:
        return self.by_round(entry, connections, lambda load: load.wrk.rate)

    def p50_ms(self, entry: Entry, connections: int) -> dict[int, float]:
        return self.by_round(entry, connections, lambda load: load.wrk.p50_us / 1e3)

    def p99_ms(self, entry: Entry, connections: int) -> dict[int, float]:
        return self.by_round(entry, connections, lambda load: load.wrk.p99_us / 1e3)

    def cores(self, entry: Entry, connections: int) -> dict[int, float]:
        return self.by_round(entry, connections, lambda load: load.cores)

    def pss_mib(self, entry: Entry) -> dict[int, float]:
        return {visit.round: visit.pss_mib for visit in self._visits(entry)}

    def rss_mib(self, entry: Entry) -> dict[int, float]:
        return {visit.round: visit.rss_mib for visit in self._visits(entry)}

    def errors(self, entry: Entry) -> int:
        return sum(load.wrk.errors for visit in self._visits(entry) for load in visit.loads)

    def defaults(self, entry: Entry) -> int:
        return sum(visit.defaults for visit in self._visits(entry))

    @property
    def disturbed(self) -> tuple[int, int]:
        """How many loads had to share the machine with other processes, and of how many."""
        loads = [load for visit in self.visits for load in visit.loads]
        return sum(load.elsewhere > QUIET for load in loads), len(loads)

    def _visits(self, entry: Entry) -> list[Visit]:
        return [one for one in self.visits if (one.server, one.setting) == entry]


def middle(values: Mapping[int, float]) -> float:
    return median(values.values()) if values else NOTHING


def ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """Median of the ratios within the rounds that both have: a slow one is slow for both."""
    return middle({one: ours[one] / theirs[one] for one in ours.keys() & theirs.keys()})
