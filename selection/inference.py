"""Confidence sequences and evidence: conclusions from rewards that hold however often one looks.

The chance that one is *ever* beside the truth is `alpha` at most (Howard, Ramdas, McAuliffe and
Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics
2021): each comes from a supermartingale, which exceeds 1 / alpha with a chance of alpha at most
(Ville). They need running sums alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

# The chance that what is shown is ever wrong.
ALPHA = 0.05
# Bets, each a supermartingale for itself, and so is their mean (the discrete mixtures of Howard et
# al. 2021, section 3.4). A factor of sqrt(2) apart: from 16, for an arm that never fails, down to
# what a million rewards want.
STAKES = tuple(16.0 / math.sqrt(2.0) ** step for step in range(24))
GROWTHS = tuple(math.expm1(stake) for stake in STAKES)


class Interval(NamedTuple):
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


class Rewards(NamedTuple):
    """The number of rewards in [0, 1] that were seen of an arm, and their sum."""

    number: float
    total: float


def mean(seen: Rewards, *, alpha: float = ALPHA) -> Interval | None:
    """Return the mean reward of an arm, None of none, with a confidence sequence.

    E[exp(s x)] <= 1 + m (exp(s) - 1) for x in [0, 1] with mean m, so exp(s S) / (1 + m (exp(s) -
    1))**n is below a supermartingale if m is the average of the means that the n rewards had
    (Hoeffding 1963; Howard et al. 2020). Stakes s above 0 bound m from below, and by symmetry from
    above.
    """
    if seen.number <= 0.0:
        return None
    value = min(max(seen.total / seen.number, 0.0), 1.0)
    low = _mean_lower(seen, alpha=alpha / 2.0)
    high = 1.0 - _mean_lower(Rewards(seen.number, seen.number - seen.total), alpha=alpha / 2.0)
    # The ends hold the mean itself, which rounding would miss.
    return Interval(value, min(low, value), max(high, value))


def _mean_lower(seen: Rewards, *, alpha: float) -> float:
    number, total = seen
    wanted = math.log(len(STAKES) / alpha)
    # A single bet reaches it here, which is no further than all do.
    bets = tuple(zip(STAKES, GROWTHS, strict=True))
    m = max(math.expm1((stake * total - wanted) / number) / growth for stake, growth in bets)
    m = max(m, 0.0)
    # Newton's method comes from the careful side, and may stop at any step: three leave 1e-4 of the
    # width.
    for _ in range(3):
        wealth = [stake * total - number * math.log1p(m * growth) for stake, growth in bets]
        slopes = [number * growth / (1.0 + m * growth) for growth in GROWTHS]
        m += _newton(wealth, slopes, wanted=wanted)
    return min(m, 1.0)


def _newton(wealth: Sequence[float], slopes: Sequence[float], *, wanted: float) -> float:
    """Return how much further on the logarithm of all wealth falls to `wanted`: never too far."""
    most = max(wealth)
    shares = [math.exp(one - most) for one in wealth]
    total = math.fsum(shares)
    slope = math.fsum(share * each for share, each in zip(shares, slopes, strict=True)) / total
    return max(most + math.log(total) - wanted, 0.0) / slope


def evidence(better: Rewards, other: Rewards, *, margin: float = 0.0) -> float:
    """Return the logarithm of the evidence that `better` is no worse than `other` less `margin`.

    Each arm's wealth against a mean m is that of a mixture of likelihood ratios, B(1/2 + S, 1/2 + n
    - S) / B(1/2, 1/2) / (m**S (1 - m)**(n - S)) (Robbins 1970); the product of two arms' is a
    supermartingale too (Kaufmann and Koolen, JMLR 2021). The result is its least over all means
    `margin` apart, as the generalised likelihood ratio of Garivier and Kaufmann (2016): if those
    are true, it ever exceeds log(1 / delta) with a chance of delta at most.
    """
    if better.number <= 0.0 or other.number <= 0.0:
        return 0.0
    if better.total / better.number <= other.total / other.number - margin:
        return 0.0
    m = _least_unlikely(better, other, margin=margin)
    known = _log_mixture(better) + _log_mixture(other)
    return max(known + _log_cost(better, m) + _log_cost(other, m + margin), 0.0)


def _least_unlikely(better: Rewards, other: Rewards, *, margin: float) -> float:
    """Return the mean of `better` at which both, `margin` apart, are least unlikely."""
    if margin == 0.0:
        return (better.total + other.total) / (better.number + other.number)
    low, high = 0.0, 1.0 - margin
    # Halved so often, the interval is narrower than 1e-9: the costs are convex.
    for _ in range(30):
        m = (low + high) / 2.0
        if _slope(better, m) + _slope(other, m + margin) < 0.0:
            low = m
        else:
            high = m
    return m


def _slope(seen: Rewards, m: float) -> float:
    """Return the derivative of `_log_cost`."""
    return (seen.number - seen.total) / (1.0 - m) - seen.total / m


def _log_cost(seen: Rewards, m: float) -> float:
    """Return -log(m**S (1 - m)**(n - S)); 0 to the power 0 is 1."""
    missed = seen.number - seen.total
    cost = -seen.total * math.log(m) if seen.total > 0.0 else 0.0
    return cost - missed * math.log1p(-m) if missed > 0.0 else cost


def _log_mixture(seen: Rewards) -> float:
    missed = max(seen.number - seen.total, 0.0)
    # The Beta prior of `evidence`, that of Krichevsky and Trofimov (1981).
    return _log_beta(0.5 + seen.total, 0.5 + missed) - _log_beta(0.5, 0.5)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def confidence_in(
    arms: Sequence[Rewards], *, best: int, margin: float = 0.0, worth: float = 1.0
) -> float:
    """Return how sure it is that the arm in the place `best` is, but for `margin`, the best.

    1 - (the others) * exp(-the weakest evidence against any): if another arm is better, this ever
    exceeds 1 - delta with a chance of delta at most. `worth` is 1/2 for rewards that depend on each
    other: the geometric mean of two supermartingales is at most their mean.
    """
    weakest = min(
        (
            evidence(arms[best], other, margin=margin)
            for place, other in enumerate(arms)
            if place != best
        ),
        default=math.inf,
    )
    return max(1.0 - (len(arms) - 1) * math.exp(-worth * weakest), 0.0)
