"""What the sums of a stretch of feedback tell: rewards of arms, and the regret, with intervals.

Regret is what Auer, Cesa-Bianchi, Freund and Schapire (2002, section 2) call the weak regret: the
reward of the single arm that did best in hindsight, less what was earned. A query that asks one
arm shows one reward only; each counts by one over the chance that its arm had (importance weights,
self-normalised), so that arms that are asked rarely are judged fairly. The interval comes from the
spread of that estimate's influence function (the delta method).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from selection.evaluation.monitoring.aggregates import ArmSums, RewardSums

# Of the normal distribution: 95 % lie within.
Z = 1.96
# Fewer rewards of an arm than this say too little to compare it. Where it was asked by chance, so
# many that count equally (the effective sample size of Kish 1965).
ENOUGH = 30


class WithInterval(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Regret(NamedTuple):
    """What the best single arm would have earned more, in rewards, over `rounds` of feedback.

    Negative: what was answered earned more than any one arm would have.
    """

    arm: str
    total: WithInterval
    rounds: int


def share(*, part: float, of: float) -> WithInterval | None:
    """Return the mean of numbers from 0 to 1 that sum to `part`, None of none.

    Wilson's score interval (1927): exact enough for few, and never outside of 0 to 1.
    """
    if of <= 0.0:
        return None
    mean = part / of
    spread = (
        Z / (1.0 + Z * Z / of) * math.sqrt(max(mean * (1 - mean), 0.0) / of + (Z / of / 2) ** 2)
    )
    middle = (mean + Z * Z / of / 2) / (1.0 + Z * Z / of)
    # The ends hold 0 and 1 themselves, which rounding would miss.
    return WithInterval(
        mean, min(max(middle - spread, 0.0), mean), max(min(middle + spread, 1.0), mean)
    )


def reward(sums: ArmSums) -> WithInterval | None:
    """Return the mean reward of an arm where it is known: its accuracy, with 0/1 losses."""
    return share(part=sums.reward, of=sums.seen)


def earned(sums: RewardSums) -> WithInterval | None:
    return share(part=sums.total, of=sums.rounds)


def gain(sums: ArmSums) -> WithInterval | None:
    """Return how much more a piece of feedback the arm alone would have earned.

    None where too little is known of the arm.
    """
    if sums.aa <= 0.0 or sums.a**2 / sums.aa < ENOUGH:
        return None
    n, mean, earned = sums.rounds, sums.ar / sums.a, sums.earned / sums.rounds
    c = n / sums.a
    own = sums.aarr - 2.0 * mean * sums.aar + mean**2 * sums.aa
    both = sums.are - earned * sums.ar - mean * sums.ae + mean * earned * sums.a
    others = sums.earned_squares - n * earned**2
    variance = max(c * c * own - 2.0 * c * both + others, 0.0)
    half = Z * math.sqrt(variance) / n
    return WithInterval(mean - earned, mean - earned - half, mean - earned + half)


def regret(arms: Mapping[str, ArmSums]) -> Regret | None:
    """Return the regret against the best arm, None where too little is known of every one.

    An arm that took part in some of the rounds only is compared over those.
    """
    gains = {arm: (gain(sums), sums.rounds) for arm, sums in arms.items()}
    regrets = [
        Regret(arm, WithInterval(*(number * rounds for number in estimate)), round(rounds))
        for arm, (estimate, rounds) in gains.items()
        if estimate is not None
    ]
    return max(regrets, key=lambda regret: regret.total.value, default=None)
