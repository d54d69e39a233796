"""What the sums of a stretch of feedback tell: what was earned, gains and the regret.

Regret is what Auer, Cesa-Bianchi, Freund and Schapire (2002, section 2) call the weak regret: the
reward of the single arm that did best in hindsight, less what was earned. A query that asks one
arm shows one reward only; each counts by one over the chance that its arm had (importance weights),
so that arms that are asked rarely are judged fairly.

All intervals hold at once, for all arms and however often one looks, as long as the stretch has a
fixed beginning (`selection.inference`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from selection.evaluation.monitoring.aggregates import ArmSums, RewardSums
from selection.inference import ALPHA, Interval, Rewards, WeightedSums, mean, weighted_lower


class Regret(NamedTuple):
    """What the best single arm would have earned more than was, over the feedback it took part in.

    At least `low`, which `arm` is known to have missed, and at most `high`. Below 0: no single arm
    would have earned as much. Around 0: nobody can tell yet.
    """

    arm: str
    low: float
    high: float
    rounds: int


def average(total: float, *, of: float) -> float | None:
    return total / of if of > 0.0 else None


def earned(sums: RewardSums) -> Interval | None:
    return mean(Rewards(sums.rounds, sums.total))


def gain(sums: ArmSums, *, arms: int = 1) -> Interval | None:
    """Return how much more a piece of feedback the arm alone, one of so many, would have earned."""
    if sums.a <= 0.0:
        return None
    value = sums.ar / sums.a - sums.earned / sums.rounds
    alpha = ALPHA / arms / 2.0
    low = max(weighted_lower(_more(sums), alpha=alpha), -1.0)
    high = min(-weighted_lower(_less(sums), alpha=alpha), 1.0)
    # Where the chances that were logged aren't those that there were, the ends may cross.
    low, high = min(low, high), max(low, high)
    return Interval(min(max(value, low), high), low, high)


def _more(sums: ArmSums) -> WeightedSums:
    """Sum a r - e: it is expected to be the gain, and never below -1."""
    return WeightedSums(
        sums.rounds,
        sums.ar - sums.earned,
        sums.aarr - 2.0 * sums.are + sums.earned_squares,
    )


def _less(sums: ArmSums) -> WeightedSums:
    """Sum a (1 - r) - (1 - e): the gain turned round, and never below -1 either."""
    own = sums.aa - 2.0 * sums.aar + sums.aarr
    both = sums.a - sums.ar - sums.ae + sums.are
    others = sums.rounds - 2.0 * sums.earned + sums.earned_squares
    return WeightedSums(
        sums.rounds,
        (sums.a - sums.ar) - (sums.rounds - sums.earned),
        own - 2.0 * both + others,
    )


def regret(arms: Mapping[str, ArmSums]) -> Regret | None:
    """Return the regret against the best arm, None without any feedback."""
    among = len(arms)
    gains = [
        (estimate.low * sums.rounds, estimate.high * sums.rounds, arm, round(sums.rounds))
        for arm, sums in arms.items()
        if (estimate := gain(sums, arms=among)) is not None
    ]
    if not gains:
        return None
    low, _, arm, rounds = max(gains)
    return Regret(arm, low, max(high for _, high, _, _ in gains), rounds)
