"""Load of one version in the last seconds, as all web processes publish it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.words import formats

# Calls that never reached the model, because its replicas had no time for them.
REFUSALS = ("overloaded", "saturated", "expired")
FAILURES = ("failed", "lost", "quarantined")
# Calls whose input the model took for invalid: the callers' fault, or the model's.
INVALID = ("refused",)
# Shares of all calls. Below the first it is chance, from the second on somebody has to know. A
# model that finds most inputs invalid is hardly the one that its callers expect.
A_FEW = 0.005
TOO_MANY = 0.05
MOST = 0.5

# How a load reads where there is none.
UNKNOWN = {
    **dict.fromkeys(("rate", "failing", "model"), formats.NOTHING),
    **dict.fromkeys(("cached", "batches"), ""),
}

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """Load in the last seconds, rates per second; `waiting` and `in_flight` are of this moment."""

    waiting: int = 0
    in_flight: int = 0
    rate: float = 0.0
    refused_rate: float = 0.0
    failed_rate: float = 0.0
    invalid_rate: float = 0.0
    hit_ratio: float | None = None
    batch_size: float | None = None
    model_p99_ms: float | None = None

    @property
    def missed_share(self) -> float | None:
        """The share of its calls that failed or got no place at a replica."""
        return (self.failed_rate + self.refused_rate) / self.rate if self.rate else None

    def refuses(self, share: float) -> bool:
        """Return whether more than this share of its calls got no place at a replica."""
        return self.refused_rate > share * self.rate

    def fails(self, share: float) -> bool:
        return self.failed_rate > share * self.rate

    def finds_invalid(self, share: float) -> bool:
        return self.invalid_rate > share * self.rate

    @property
    def is_idle(self) -> bool:
        return not (self.rate or self.waiting or self.in_flight or self.batch_size)


def load_of(arm: str, *, documents: Iterable[Document]) -> ModelLoad | None:
    """Add up what the web processes say of one version; None where none mentions it."""
    published = [d["versions"][arm] for d in documents if arm in d.get("versions", {})]
    if not published:
        return None
    recent = [counts["recent"] for counts in published]
    hits = sum(counts["hits"] for counts in recent)
    asked = hits + sum(counts["misses"] + counts["joined"] for counts in recent)
    batches = sum(counts["batches"] for counts in recent)
    return ModelLoad(
        waiting=sum(counts.get("waiting", 0) for counts in published),
        in_flight=sum(counts.get("in_flight", 0) for counts in published),
        rate=_rate(recent, of=("hits", "misses", "joined")),
        refused_rate=_rate(recent, of=REFUSALS),
        failed_rate=_rate(recent, of=FAILURES),
        invalid_rate=_rate(recent, of=INVALID),
        hit_ratio=hits / asked if asked else None,
        batch_size=sum(counts["sent"] for counts in recent) / batches if batches else None,
        model_p99_ms=max(filter(None, (counts["model_p99_ms"] for counts in recent)), default=None),
    )


def load_text(load: ModelLoad | None) -> Mapping[str, str]:
    """Word a load for people; of what isn't known or isn't there nothing is said."""
    if load is None or load.is_idle:
        return UNKNOWN
    return {
        "rate": f"{formats.rate(load.rate)} /s",
        "failing": formats.share(load.missed_share),
        "cached": "" if load.hit_ratio is None else f"{formats.share(load.hit_ratio)} from cache",
        "model": formats.milliseconds(load.model_p99_ms),
        "batches": _batches(load),
    }


def _batches(load: ModelLoad) -> str:
    in_flight = f"{formats.count(load.in_flight)} in flight"
    if load.batch_size is None:
        return in_flight
    return f"{in_flight}, batches of {formats.mean(load.batch_size)}"


def _rate(recent: Sequence[Document], *, of: Sequence[str]) -> float:
    rates = (
        sum(int(counts[name]) for name in of) / float(counts["seconds"])
        for counts in recent
        if counts["seconds"] > 0
    )
    return sum(rates, 0.0)
