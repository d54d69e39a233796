"""What one version had to do between two moments, out of what the web processes have counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from core.counters import growth, went_back
from serving.engine.stats import LATENCY_BOUNDS, quantile

# Of the waits: what most queries had to stand, without the few that chance held up.
DELAY_QUANTILE = 0.9


class Counters(NamedTuple):
    """What one web process has counted of one version up to its time `at`."""

    at: float
    waits: tuple[int, ...] = ()
    lost: int = 0
    busy_s: float = 0.0
    waiting: int = 0


# By the id of the web process.
Reading = Mapping[str, Counters]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What all web processes together asked of one version's replicas in `elapsed_s` seconds.

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
        """How many replicas, working without a pause, would have done the same."""
        return self.busy_s / self.elapsed_s


class _Histogram(msgspec.Struct, frozen=True):
    counts: tuple[int, ...]
    total: float


class _Version(msgspec.Struct, frozen=True):
    queue_seconds: _Histogram
    model_seconds: _Histogram
    expired: int
    saturated: int
    overloaded: int
    waiting: int


class _Document(msgspec.Struct, frozen=True):
    id: str
    at: float
    versions: dict[str, _Version]


Published = Sequence[_Document]


def understood(documents: Iterable[Mapping[str, Any]]) -> Published | None:
    """Return what is needed of the published documents; None where one is of another release."""
    try:
        return msgspec.convert(list(documents), list[_Document])
    except msgspec.ValidationError:
        return None


def reading_of(arm: str, *, published: Published) -> Reading:
    """Return what each web process says of this version; one that never asked it says zero."""
    return {document.id: _counters(document, arm=arm) for document in published}


def load_between(before: Reading, after: Reading) -> Load | None:
    """Return what happened from one reading to the other.

    None where that can't be known: other processes, one that began to count anew, no time passed.
    """
    if not after or before.keys() != after.keys():
        return None
    pairs = [(before[process], after[process]) for process in after]
    if any(_went_back(old, new) for old, new in pairs):
        return None
    waits = [0] * (len(LATENCY_BOUNDS) + 1)
    for old, new in pairs:
        for index, count in enumerate(growth(old.waits, new.waits)):
            waits[index] += count
    return Load(
        elapsed_s=sum(new.at - old.at for old, new in pairs) / len(pairs),
        sent=sum(waits),
        lost=sum(new.lost - old.lost for old, new in pairs),
        delay_s=quantile(waits, bounds=LATENCY_BOUNDS, q=DELAY_QUANTILE),
        busy_s=sum(new.busy_s - old.busy_s for old, new in pairs),
        waiting=sum(new.waiting for _, new in pairs),
    )


def _counters(document: _Document, *, arm: str) -> Counters:
    version = document.versions.get(arm)
    if version is None:
        return Counters(document.at)
    return Counters(
        at=document.at,
        waits=version.queue_seconds.counts,
        lost=version.expired + version.saturated + version.overloaded,
        busy_s=version.model_seconds.total,
        waiting=version.waiting,
    )


def _went_back(old: Counters, new: Counters) -> bool:
    return (
        new.at <= old.at
        or new.lost < old.lost
        or new.busy_s < old.busy_s
        or went_back(old.waits, new.waits)
    )
