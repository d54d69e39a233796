"""Counts of queries by outcome, with histograms of their time; they add up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from serving.engine.stats import LATENCY_BOUNDS, quantile
from serving.metrics.outcomes import BUCKETS, DEFAULTS, ENDINGS, LATENCY, LENGTH, QueryEnding
from serving.metrics.published import ARM_COUNTERS

BAD = ("late", "failed", "refused", "no_replica")
OUTCOMES = ("good", *BAD, "abstained", "invalid")


class Calls(NamedTuple):
    """How the calls of an application to one version ended, those that a caller forced left out."""

    asked: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0
    refused: int = 0


@dataclass(slots=True, kw_only=True)
class OutcomeCounts:
    """Queries by outcome: of an application, or those in which it asked one version.

    `good` are answered in time, `abstained` ones included. `latency` counts all answers by bucket
    of LATENCY_BOUNDS, and `defaults` those among them that a default stands in for a model's.
    """

    good: int = 0
    late: int = 0
    failed: int = 0
    refused: int = 0
    no_replica: int = 0
    abstained: int = 0
    invalid: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    defaults: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    calls: Calls = field(default_factory=Calls)

    @classmethod
    def of(cls, grown: Sequence[int]) -> Self:
        """Return what a list in the layout of `serving.metrics.outcomes` says."""
        if len(grown) != LENGTH:
            raise ValueError(f"expected {LENGTH} counts, got {len(grown)}")
        latency, defaults = [*grown[LATENCY:DEFAULTS]], [*grown[DEFAULTS:]]
        ended = {ending: grown[ENDINGS + ending] for ending in QueryEnding}
        return cls(
            good=sum(latency) - sum(defaults) - ended[QueryEnding.SLOW],
            late=ended[QueryEnding.SLOW] + ended[QueryEnding.TIMED_OUT],
            failed=ended[QueryEnding.FAILED],
            refused=ended[QueryEnding.REFUSED],
            no_replica=ended[QueryEnding.NO_REPLICA],
            abstained=ended[QueryEnding.ABSTAINED],
            invalid=ended[QueryEnding.INVALID],
            latency=latency,
            defaults=defaults,
            calls=Calls(
                *(sum(grown[end] for end in ARM_COUNTERS[name].endings) for name in Calls._fields)
            ),
        )

    @property
    def bad(self) -> int:
        return self.late + self.failed + self.refused + self.no_replica

    @property
    def total(self) -> int:
        """Return the queries that an objective counts."""
        return self.good + self.bad

    def by_outcome(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in OUTCOMES}

    def bad_by_cause(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in BAD}

    def quantile_ms(self, q: float) -> float | None:
        """Estimate a quantile of the time of all answers, default ones included."""
        seconds = quantile(self.latency, bounds=LATENCY_BOUNDS, q=q)
        return None if seconds is None else seconds * 1e3

    def add(self, other: "OutcomeCounts") -> None:
        for name in OUTCOMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency = list(map(int.__add__, self.latency, other.latency))
        self.defaults = list(map(int.__add__, self.defaults, other.defaults))
        self.calls = Calls(*map(int.__add__, self.calls, other.calls))


def sparse(counts: Sequence[int]) -> list[int]:
    """Return [place, number, ...] of the places that aren't 0."""
    return [part for place, number in enumerate(counts) if number for part in (place, number)]


def dense(pairs: Sequence[int]) -> list[int]:
    """Return the histogram that was made `sparse`."""
    counts = [0] * BUCKETS
    for place, number in zip(pairs[::2], pairs[1::2], strict=True):
        counts[place] = number
    return counts
