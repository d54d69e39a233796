"""Two rates of loss, of a canary and of the live version, by the chance of each to be asked.

`Worse` bets on who was asked, given how good the answer was and the logged chance. `NoWorse` is a
likelihood ratio against the nearest point at which the canary loses a margin more (the reverse
information projection of Turner, Ly and Grünwald, "Generic E-variables for exact sequential
k-sample tests", Journal of Statistical Planning and Inference 2024). Both hold for losses in
[0, 1], which are interpolated linearly. A bet is made of what is known before what it is about.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from selection.evaluation.gates.among_failures import ODDS
from selection.inference import log_mean_exp

# Labels of the live version from before the rollout that count, at most.
KNOWN = 200.0
# Bets are made anew once a version has so much more behind it.
ANEW = 1.02
LEAST, MOST = 1e-6, 1.0 - 1e-6
# The shares of money on each alternative: no difference, the canary half a margin better or worse,
# and the means so far, the canary's with so many labels of the live version's.
SHARES = (0.4, 0.2, 0.2, 0.2)
BORROWED = 20.0


class Counts(msgspec.Struct):
    """Observations of one version, and the sum of their losses."""

    number: float = 0.0
    bad: float = 0.0

    def add(self, loss: float, count: float) -> None:
        self.number += count
        self.bad += loss * count

    @property
    def rate(self) -> float:
        """Return the share of losses, half a loss in one observation more: never 0 or 1."""
        return (self.bad + 0.5) / (self.number + 1.0)


class Worse(msgspec.Struct):
    """Bets that the canary loses more often, whatever the level does."""

    won: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(ODDS))

    def note(
        self, *, canary: bool, chance: float, loss: float, count: float, live_rate: float
    ) -> None:
        won, live = [], min(max(live_rate, LEAST), MOST)
        for so_far, k in zip(self.won, ODDS, strict=True):
            odds = k * live / (1.0 - live)
            own = odds / (1.0 + odds)
            both = chance * own + (1.0 - chance) * live
            rate = own if canary else live
            factor = loss * rate / both + (1.0 - loss) * (1.0 - rate) / (1.0 - both)
            won.append(so_far + count * math.log(factor))
        self.won = won

    @property
    def log_evidence(self) -> float:
        return log_mean_exp(self.won)


class RatePair(NamedTuple):
    """Rates of loss of the canary and of the live version."""

    canary: float
    live: float


class NoWorse(msgspec.Struct):
    """Bets that the canary doesn't lose `margin` more; money on each alternative, logarithms."""

    margin: float
    won: list[float] = msgspec.field(default_factory=lambda: [math.log(share) for share in SHARES])

    def note(
        self,
        bets: "Sequence[tuple[RatePair, RatePair]]",
        *,
        canary: bool,
        loss: float,
        count: float,
    ) -> None:
        won = []
        for so_far, (alternative, null) in zip(self.won, bets, strict=True):
            a, n = (alternative.canary, null.canary) if canary else (alternative.live, null.live)
            factor = loss * a / n + (1.0 - loss) * (1.0 - a) / (1.0 - n)
            won.append(so_far + count * math.log(factor))
        self.won = won

    @property
    def log_evidence(self) -> float:
        return log_mean_exp(self.won) + math.log(len(self.won))


def alternatives(canary: Counts, live: Counts, *, margin: float) -> list[RatePair]:
    """Return the rates that money is on, for what was seen so far."""
    pooled = Counts(canary.number + live.number, canary.bad + live.bad).rate
    own = (canary.bad + BORROWED * live.rate) / (canary.number + BORROWED)
    points = [
        RatePair(pooled, pooled),
        RatePair(pooled - margin / 2.0, pooled),
        RatePair(pooled + margin / 2.0, pooled),
        RatePair(own, live.rate),
    ]
    return [RatePair(_inside(point.canary), _inside(point.live)) for point in points]


def nearest_null(alternative: RatePair, *, margin: float, chance: float) -> RatePair:
    """Return the point nearest to an alternative at which the canary loses `margin` more."""
    if alternative.canary >= alternative.live + margin:
        return alternative  # it is no alternative: money on it neither grows nor shrinks
    low, high = LEAST, MOST - margin
    for _ in range(40):
        live = (low + high) / 2.0
        own = live + margin
        slope = chance * (own - alternative.canary) / (own * (1.0 - own))
        slope += (1.0 - chance) * (live - alternative.live) / (live * (1.0 - live))
        low, high = (low, live) if slope > 0.0 else (live, high)
    live = (low + high) / 2.0
    return RatePair(min(live + margin, MOST), live)


def growth(alternative: RatePair, null: RatePair, *, chance: float) -> float:
    """Return by how much a bet's logarithm grows with each observation if it is right."""
    return chance * _divergence(alternative.canary, null.canary) + (1.0 - chance) * _divergence(
        alternative.live, null.live
    )


def _divergence(a: float, b: float) -> float:
    return a * math.log(a / b) + (1.0 - a) * math.log((1.0 - a) / (1.0 - b))


def _inside(rate: float) -> float:
    return min(max(rate, LEAST), MOST)
