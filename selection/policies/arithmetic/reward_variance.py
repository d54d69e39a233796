"""Variance of rewards, and how it compares with that of rewards that say right or wrong.

The bounds and posteriors of policies are those of coin flips, whose variance is m (1 - m) for a
mean m. Graded rewards vary less, so that fewer labels tell as much.
"""

from collections.abc import Iterable, Sequence

from selection.policies.arithmetic.sums import Vector


def variance(rewards: Iterable[Vector]) -> float:
    """Return the variance of rewards about their arm's mean, given each arm's `REWARDS`.

    It is a quarter before anything is known.
    """
    count, total = 1.0, 0.25
    for seen, rewarded, squares in rewards:
        if seen > 0.0:
            count += seen
            total += max(squares - rewarded * rewarded / seen, 0.0)
    return total / count


def variance_ratios(rewards: Sequence[Vector]) -> list[float]:
    """Return each arm's variance over that of coin flips with its mean: 1 if they are, or less.

    Beside its own labels an arm has one more (a prior), which varies as those of all arms do.
    """
    flips = [(seen, rewarded, rewarded) for seen, rewarded, _ in rewards]
    usual, usual_of_flips = variance(rewards), variance(flips)
    ratios = []
    for seen, rewarded, squares in rewards:
        of_mean = rewarded * rewarded / seen if seen > 0.0 else rewarded
        own, of_flips = max(squares - of_mean, 0.0), max(rewarded - of_mean, 0.0)
        # Rewards that never vary leave the prior alone, which must not make a mean certain.
        ratios.append(max((usual + own) / (usual_of_flips + of_flips), 1e-6))
    return ratios
