"""The load of one version between two moments, from the counters of web processes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

from core.counters import growth
from serving.engine.stats import LATENCY_BOUNDS, quantile


class Counters(NamedTuple):
    """Counters of one web process for one version, at its time `at`."""

    at: float
    waits: tuple[int, ...] = ()
    lost: int = 0
    busy_s: float = 0.0
    waiting: int = 0


# By the id of the web process.
Reading = Mapping[str, Counters]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Queries of all web processes to one version's replicas in `elapsed_s` seconds.

    `delay_s` is what nine out of ten queries waited at most before they were sent, None where none
    was. `lost` queries expired or were refused; `busy_s` is the time all its replicas computed.
    """

    elapsed_s: float
    sent: int
    lost: int
    delay_s: float | None
    busy_s: float
    waiting: int

    @property
    def rate(self) -> float:
        """Queries per second, those lost too."""
        return (self.sent + self.lost) / self.elapsed_s

    @property
    def lost_share(self) -> float:
        return self.lost / (self.sent + self.lost) if self.lost else 0.0

    @property
    def is_idle(self) -> bool:
        return not (self.sent or self.lost or self.waiting)

    @property
    def busy_replicas(self) -> float:
        """The replicas that would have done the same without a pause."""
        return self.busy_s / self.elapsed_s


def reading_of(arm: str, *, published: Iterable[Mapping[str, Any]]) -> Reading:
    """Return the counters of each web process; all zero in one that never asked the version."""
    return {
        document["id"]: _counters(document["versions"].get(arm), at=document["at"])
        for document in published
    }


def load_between(before: Reading, after: Reading) -> Load | None:
    """Return what happened from one reading to the other."""
    if not after or before.keys() != after.keys():
        return None
    pairs = [(before[process], after[process]) for process in after]
    waits = [growth(old.waits, new.waits) for old, new in pairs]
    others = [(new.at - old.at, new.lost - old.lost, new.busy_s - old.busy_s) for old, new in pairs]
    if any(min(counts, default=0) < 0 for counts in (*waits, *others)) or not others[0][0]:
        return None
    elapsed_s, lost, busy_s = (sum(column) for column in zip(*others, strict=True))
    together = [sum(column) for column in zip_longest(*waits, fillvalue=0)]
    return Load(
        elapsed_s=elapsed_s / len(pairs),
        sent=sum(together),
        lost=int(lost),
        delay_s=quantile(together, bounds=LATENCY_BOUNDS, q=0.9),
        busy_s=busy_s,
        waiting=sum(new.waiting for _, new in pairs),
    )


def _counters(version: Mapping[str, Any] | None, *, at: float) -> Counters:
    if version is None:
        return Counters(at)
    return Counters(
        at=at,
        waits=tuple(version["queue_seconds"]["counts"]),
        lost=version["expired"] + version["saturated"] + version["overloaded"],
        busy_s=version["model_seconds"]["total"],
        waiting=version["waiting"],
    )
