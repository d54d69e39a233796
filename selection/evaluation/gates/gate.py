"""A gate: one measure of a new version beside the live one, and its verdict."""

import math
from enum import StrEnum
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import msgspec

from selection.evaluation.gates import by_person
from selection.evaluation.gates.among_failures import AmongFailures
from selection.evaluation.gates.two_rates import (
    ANEW,
    KNOWN,
    Counts,
    NoWorse,
    RatePair,
    Worse,
    alternatives,
    growth,
    nearest_null,
)
from selection.inference import ALPHA


class GateVerdict(StrEnum):
    WORSE = "worse"
    NO_WORSE = "no_worse"
    OPEN = "open"


# Losses of which it is said whether they are excluded.
MARGINS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)


class GateSeen(NamedTuple):
    """Equal observations: of the canary or the live version, the canary's `chance` to be asked.

    `loss` is from 0 to 1, 1 for what is bad.
    """

    canary: bool
    chance: float
    loss: float
    number: int = 1


class Gate(msgspec.Struct):
    """Sums of one measure; `margin` is the largest loss that "no worse" allows.

    `by_failures`: losses are 0 or 1, and whoever is worse is found among those of 1 alone. `known`
    is what was seen of the live version lately, before the rollout.
    """

    margin: float
    by_failures: bool
    canary: Counts = msgspec.field(default_factory=Counts)
    live: Counts = msgspec.field(default_factory=Counts)
    known: Counts = msgspec.field(default_factory=Counts)
    failures: AmongFailures = msgspec.field(default_factory=AmongFailures)
    rates: Worse = msgspec.field(default_factory=Worse)
    no_worse: list[NoWorse] = []
    people: by_person.KeyedPeople | None = None
    # Observations of the last chance, and how many there were when its bets were made.
    chance: float = 0.0
    made_at: float = 0.0
    bets: list[list[tuple[RatePair, RatePair]]] = []

    def __post_init__(self) -> None:
        if not self.no_worse:
            self.no_worse = [NoWorse(m) for m in sorted({*MARGINS, self.margin})]

    def note(self, *seen: GateSeen) -> None:
        """Count observations of queries that were drawn one by one.

        Those given together may be in any order, so nothing of one is used for another's bets.
        """
        # What wasn't drawn by chance is left out.
        seen = tuple(one for one in seen if 0.0 < one.chance < 1.0)
        live_rate = self._live_so_far.rate
        canary, live = msgspec.structs.replace(self.canary), self._live_so_far
        for one in seen:
            if not self.by_failures:
                self.rates.note(
                    canary=one.canary,
                    chance=one.chance,
                    loss=one.loss,
                    count=one.number,
                    live_rate=live_rate,
                )
            elif one.loss:
                self._note_failures(one, one.number * one.loss)
            self._bet(one.chance, canary=canary, live=live)
            for test, bets in zip(self.no_worse, self.bets, strict=True):
                test.note(bets, canary=one.canary, loss=one.loss, count=one.number)
        for one in seen:
            self._count(one)

    def note_person(self, seen: GateSeen, *, person: str) -> None:
        """Count observations of somebody who was drawn once for all of their queries."""
        if not 0.0 < seen.chance < 1.0:
            return
        if self.people is None:
            self.people = by_person.KeyedPeople()
        self.people.meet(person, canary=seen.canary)
        if seen.loss >= 0.5 and self.people.fails_first(person):
            self._note_failures(seen, 1.0)
        self.people.add(
            person, canary=seen.canary, chance=seen.chance, loss=seen.loss, count=seen.number
        )
        self._count(seen)

    def verdict(self, *, alpha: float, alpha_no_worse: float = ALPHA) -> GateVerdict:
        """Return what is proved; each is ever wrong with a chance of its `alpha` at most."""
        if self.log_evidence >= -math.log(alpha):
            return GateVerdict.WORSE
        no_worse = self._excludes(self._own, alpha=alpha_no_worse)
        return GateVerdict.NO_WORSE if no_worse else GateVerdict.OPEN

    @property
    def log_evidence(self) -> float:
        """Return the natural logarithm of the evidence that the canary is worse."""
        if self.by_failures or self.people is not None:
            return self.failures.log_evidence
        return self.rates.log_evidence

    def largest_loss_excluded(self, *, alpha: float = ALPHA) -> float | None:
        """Return the smallest loss that is excluded, None if none is yet."""
        # From the largest on, so that it is wrong no more often than its own test is.
        excluded = takewhile(partial(self._excludes, alpha=alpha), reversed(self.no_worse))
        return min((test.margin for test in excluded), default=None)

    def calls_wanted(self, *, alpha: float = ALPHA) -> float | None:
        """Return how many more observations of the canary "no worse" takes, if both are alike."""
        if self.people is not None or not self.chance:
            return None
        live = self._live_so_far
        both = Counts(self.canary.number + live.number, self.canary.bad + live.bad)
        alike = RatePair(both.rate, both.rate)
        null = nearest_null(alike, margin=self.margin, chance=self.chance)
        missing = -math.log(alpha) - self._own.log_evidence
        return max(0.0, missing / growth(alike, null, chance=self.chance) * self.chance)

    @property
    def people_in_canary(self) -> int | None:
        """Return how many people met the canary, None where each query is drawn."""
        return None if self.people is None else len(self.people.in_canary)

    @property
    def _own(self) -> NoWorse:
        return next(test for test in self.no_worse if test.margin == self.margin)

    def _excludes(self, test: NoWorse, *, alpha: float) -> bool:
        if self.people is not None:
            return self.people.excludes(test.margin, alpha=alpha)
        return test.log_evidence >= -math.log(alpha)

    def _note_failures(self, seen: GateSeen, count: float) -> None:
        self.failures.note(canary=seen.canary, chance=seen.chance, count=count)

    def _count(self, seen: GateSeen) -> None:
        (self.canary if seen.canary else self.live).add(seen.loss, seen.number)

    @property
    def _live_so_far(self) -> Counts:
        share = min(1.0, KNOWN / self.known.number) if self.known.number else 0.0
        return Counts(
            self.live.number + self.known.number * share, self.live.bad + self.known.bad * share
        )

    def _bet(self, chance: float, *, canary: Counts, live: Counts) -> None:
        """Make the bets for the next observations by what was seen before them."""
        number = canary.number + live.number
        if self.bets and chance == self.chance and number < self.made_at * ANEW + 1.0:
            return
        self.chance, self.made_at = chance, number
        self.bets = [
            [
                (point, nearest_null(point, margin=test.margin, chance=chance))
                for point in alternatives(canary, live, margin=test.margin)
            ]
            for test in self.no_worse
        ]
