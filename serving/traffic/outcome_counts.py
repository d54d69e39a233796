"""Counts of queries by outcome, with histograms of their time; they add up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.engine.stats import LATENCY_BOUNDS, quantile
from serving.metrics.outcomes import BUCKETS, DEFAULTS, ENDINGS, LATENCY, QueryEnding
from serving.metrics.published import ARM_COUNTERS

BAD = ("late", "failed", "refused", "no_replica")
OUTCOMES = ("good", *BAD, "abstained", "invalid")
COLUMNS = (*OUTCOMES, "latency", "defaults", "versions")


@dataclass(slots=True, kw_only=True)
class OutcomeCounts:
    """Queries by outcome: of an application, or those in which it asked one version.

    `good` are answered in time, `abstained` ones included. `latency` counts all answers by bucket
    of LATENCY_BOUNDS, and `defaults` those among them that a default stands in for a model's.
    `calls` are those of the policy to a version, by the names of ARM_COUNTERS.
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
    calls: list[int] = field(default_factory=lambda: [0] * len(ARM_COUNTERS))

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

    def add_grown(self, grown: Sequence[int]) -> None:
        """Add a list in the layout of `serving.metrics.outcomes`."""
        latency, defaults = grown[LATENCY:DEFAULTS], grown[DEFAULTS:]
        ended = {ending.name: grown[ENDINGS + ending] for ending in QueryEnding}
        outcomes = (
            sum(latency) - sum(defaults) - ended["SLOW"],
            ended["SLOW"] + ended["TIMED_OUT"],
            *(ended[name] for name in ("FAILED", "REFUSED", "NO_REPLICA", "ABSTAINED", "INVALID")),
        )
        calls = [sum(grown[end] for end in counter.endings) for counter in ARM_COUNTERS.values()]
        self.add(outcomes, latency=sparse(latency), defaults=sparse(defaults), calls=calls)

    def add(
        self,
        outcomes: Sequence[int],
        *,
        latency: Sequence[int],
        defaults: Sequence[int] = (),
        calls: Sequence[int] = (),
    ) -> None:
        """Add numbers in the order of OUTCOMES, and `sparse` histograms."""
        for name, number in zip(OUTCOMES, outcomes, strict=True):
            if number:
                setattr(self, name, getattr(self, name) + number)
        for counts, pairs in ((self.latency, latency), (self.defaults, defaults)):
            parts = iter(pairs)
            for place, number in zip(parts, parts, strict=True):
                counts[place] += number
        for place, number in enumerate(calls):
            self.calls[place] += number

    def add_counts(self, other: "OutcomeCounts") -> None:
        self.add(
            [*other.by_outcome().values()],
            latency=sparse(other.latency),
            defaults=sparse(other.defaults),
            calls=other.calls,
        )


def add_row(total: dict[str, OutcomeCounts], columns: Sequence[Any]) -> dict[str, OutcomeCounts]:
    """Add COLUMNS of a row to a total, by version, and as "" of the application; return that."""
    *outcomes, latency, defaults, versions = columns
    own = total.get("") or total.setdefault("", OutcomeCounts())
    own.add(outcomes, latency=latency, defaults=defaults)
    for arm, (of_arm, calls, times) in versions.items():
        counts = total.get(arm) or total.setdefault(arm, OutcomeCounts())
        counts.add(of_arm, latency=times, calls=calls)
    return total


def sparse(counts: Sequence[int]) -> list[int]:
    """Return [place, number, ...] of the places that aren't 0."""
    return [part for place, number in enumerate(counts) if number for part in (place, number)]
