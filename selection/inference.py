"""Confidence sequences and evidence: conclusions from rewards that hold however often one looks.

The chance that one is *ever* beside the truth is `alpha` at most (Howard, Ramdas, McAuliffe and
Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics
2021): each comes from a supermartingale, which exceeds 1 / alpha with a chance of alpha at most
(Ville). They need running sums alone.

The unit is the person. From `LEAST` people of each arm on, a difference has the variance by person
(linearised, as cluster samples have it) and an asymptotic confidence sequence; fewer people count
as one draw each for the exact test.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

# The chance that what is shown is ever wrong.
ALPHA = 0.05
# Bets, each a supermartingale for itself, and so is their mean (the discrete mixtures of Howard et
# al. 2021, section 3.4). A factor of sqrt(2) apart: from 16, for an arm that never fails, down to
# what a million rewards want.
STAKES = tuple(16.0 / math.sqrt(2.0) ** step for step in range(24))
GROWTHS = tuple(math.expm1(stake) for stake in STAKES)


# Gains that the asymptotic test is sharpest for, as standard deviations of normal priors. 0.85 and
# 0.83 are told apart by 12,300 labels (means of 1,000 runs; GrowthBook's sequential test, which has
# one tuning, 11,700), 0.85 and 0.75 by 700 (820), 0.98 and 0.71 by 90 (180).
GAINS = (0.02, 0.1)
# People of an arm from which on its mean is near enough to normal. Of equal arms one is ever called
# better in 0 to 4 % of runs (30 to 1,000 people, even or Zipf; single labels of 0.5 to 0.997).
LEAST = 30.0


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
        most = max(wealth)
        shares = [math.exp(one - most) for one in wealth]
        total_wealth = math.fsum(shares)
        slopes = [
            share * growth / (1.0 + m * growth)
            for share, growth in zip(shares, GROWTHS, strict=True)
        ]
        # Never too far: the wealth is convex.
        left = max(most + math.log(total_wealth) - wanted, 0.0)
        m += left * total_wealth / (number * math.fsum(slopes))
    return min(m, 1.0)


def evidence_above(seen: Rewards, m: float) -> float:
    """Return the logarithm of the evidence that rewards have a mean above m, by the bets of `mean`.

    If it is m at most, the chance that this ever exceeds log(1 / delta) is delta at most.
    """
    wealth = [
        stake * seen.total - seen.number * math.log1p(m * growth)
        for stake, growth in zip(STAKES, GROWTHS, strict=True)
    ]
    return log_mean_exp(wealth)


def log_mean_exp(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of numbers given by their logarithms."""
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))


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
    # The Beta prior of `evidence`, that of Krichevsky and Trofimov (1981); B(1/2, 1/2) is pi.
    a, b = 0.5 + seen.total, 0.5 + max(seen.number - seen.total, 0.0)
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b) - math.log(math.pi)


class Seen(NamedTuple):
    """An arm's mean reward with its variance by person.

    `number` is the sum of its weights, `people` how many people of equal weight tell as much (Kish
    1965). `least` is in the variance: as if one further label of somebody had been half a reward
    off.
    """

    number: float
    mean: float
    people: float
    variance: float
    least: float

    @classmethod
    def of(
        cls,
        number: float,
        total: float,
        squares: float,
        products: float,
        total_squares: float,
        labels: float,
    ) -> Self:
        """Return it of sums over people: of weights n and weighted rewards s, n^2, n s, and s^2."""
        # The squares of tiny weights are 0 before the weights are.
        if squares <= 0.0:
            return cls(0.0, 0.5, 0.0, math.inf, math.inf)
        mean, people = total / number, number * number / squares
        spread = total_squares - mean * (2.0 * products - mean * squares)
        least = 0.25 / (people * labels)
        return cls(number, mean, people, max(spread, 0.0) / (number * number) + least, least)

    @property
    def draws(self) -> Rewards:
        """People as one draw each, of their mean."""
        return Rewards(self.people, self.people * self.mean)

    @property
    def worth(self) -> float:
        """The draws of right or wrong that have the variance of the people's mean.

        People whose rewards vary less than those of draws count as several, few people as one each.
        """
        most = self.mean * (1.0 - self.mean)
        many = self.people >= LEAST and most > 0.0
        return max(most / self.variance, self.people) if many else self.people


def mean_of(seen: Seen, *, alpha: float = ALPHA) -> Interval | None:
    """Return the mean reward by person, None of none, with a confidence sequence."""
    return mean(Rewards(seen.worth, seen.worth * seen.mean), alpha=alpha)


def evidence_of(better: Seen, other: Seen, *, both: Sequence[float], margin: float = 0.0) -> float:
    """Return `evidence` by person.

    `both` are sums over people with labels of both arms: of n n', n s', s n' and s s', with n and s
    of `better`.
    """
    people = min(better.people, other.people)
    nn, ns, sn, ss = both
    if people < LEAST:
        # Rewards that depend on each other: the geometric mean of two supermartingales is at most
        # their mean.
        worth = 0.5 if nn > 0.0 else 1.0
        return worth * evidence(better.draws, other.draws, margin=margin)
    gain = better.mean - other.mean + margin
    if gain <= 0.0:
        return 0.0
    variance = variance_of_gain(better, other)
    if nn > 0.0:
        common = ss - other.mean * sn - better.mean * (ns - other.mean * nn)
        variance -= 2.0 * common / (better.number * other.number)
        variance = max(variance, better.least + other.least)
    return asymptotic_evidence(gain, variance=variance, people=people)


def variance_of_gain(one: Seen, other: Seen, *, greater: Callable[[Any, Any], Any] = max) -> float:
    """Return the variance of the difference of two means of different people.

    If the arms are alike, so are their people: each one's vary no less than those of both together.
    Few people who have not failed yet would seem not to vary. A plan has arrays in place of
    numbers, of which it knows the `greater` ones.
    """
    weighed = one.variance * one.people**2 + other.variance * other.people**2
    common = weighed / (one.people + other.people)
    mine: float = greater(one.variance, common / one.people)
    others: float = greater(other.variance, common / other.people)
    return mine + others


def asymptotic_evidence(gain: float, *, variance: float, people: float) -> float:
    """Return the logarithm of the evidence that a gain of about normal distribution isn't 0.

    The likelihood ratio of a normal prior on the gain, with an unknown variance (Lai 1976), the
    asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021) for
    many people; half of it for each of `GAINS`.
    """
    # CR1: one mean was estimated.
    square, free = gain * gain * (people - 1.0) / (people * variance), people - 1.0
    found = -math.inf
    for scale in GAINS:
        ratio = 1.0 + scale * scale / variance
        apart = math.log1p(square / free) - math.log1p(square / (free * ratio))
        found = max(found, 0.5 * (people * apart - math.log(ratio)))
    return max(found - math.log(len(GAINS)), 0.0)


def half_width(variance: float, *, people: float, alpha: float = ALPHA) -> float:
    """Return how far from 0 a gain has `asymptotic_evidence` of 1 / alpha; at most 1."""
    widths = [1.0]
    free, wanted = people - 1.0, math.log(len(GAINS) / alpha)
    for scale in GAINS:
        ratio = 1.0 + scale * scale / variance
        growth = math.exp((2.0 * wanted + math.log(ratio)) / people)
        if growth < ratio:
            square = free * (growth - 1.0) / (1.0 - growth / ratio)
            widths.append(math.sqrt(square * variance * people / free))
    return min(widths)
