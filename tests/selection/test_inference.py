"""Inference at any time: exact values, coverage under continuous looking, evidence."""

import math
import random
from itertools import accumulate

import pytest
from scipy import integrate, optimize, stats  # type: ignore[import-untyped]  # it has none

from selection.inference import (
    STAKES,
    Rewards,
    confidence_in,
    evidence,
    mean,
)


def wealth_against(m: float, seen: Rewards) -> float:
    """The mean over bets of exp(s S) / (1 + m (exp(s) - 1))**n."""
    return sum(
        math.exp(s * seen.total - seen.number * math.log(1.0 + m * (math.exp(s) - 1.0)))
        for s in STAKES
    ) / len(STAKES)


@pytest.mark.parametrize(("count", "total"), [(1, 1.0), (30, 21.5), (400, 360.0), (20_000, 100.0)])
def test_an_interval_ends_where_the_wealth_against_a_mean_is_one_over_alpha(
    count: int, total: float
) -> None:
    interval = mean(Rewards(count, total), alpha=0.05)

    assert interval is not None
    assert interval.low < interval.value == total / count <= interval.high
    assert wealth_against(interval.low, Rewards(count, total)) == pytest.approx(40.0, rel=0.01)
    if interval.high < 1.0:
        turned = Rewards(count, count - total)
        assert wealth_against(1.0 - interval.high, turned) == pytest.approx(40.0, rel=0.01)


def test_a_mean_that_drifts_is_covered_on_average_however_often_one_looks() -> None:
    chance, missed = random.Random(1), 0
    for _ in range(100):
        means = [0.9 if t % 400 < 200 else 0.5 for t in range(1_000)]
        totals = list(accumulate(float(chance.random() < m) for m in means))
        expected = list(accumulate(means))
        intervals = [(n, mean(Rewards(n, totals[n - 1]))) for n in range(20, 1_001, 20)]
        missed += any(
            interval is None or not interval.low <= expected[n - 1] / n <= interval.high
            for n, interval in intervals
        )
    assert missed <= 5


def test_evidence_is_the_likelihood_of_two_means_over_that_of_one() -> None:
    # Each arm's likelihood averaged over the arcsine prior, against the likeliest common mean.
    def averaged(right: int, wrong: int) -> float:
        arcsine = stats.beta(0.5, 0.5)
        found, _ = integrate.quad(
            lambda m: m**right * (1.0 - m) ** wrong * arcsine.pdf(m), 0.0, 1.0
        )
        return float(found)

    common = 28 / 40
    one = common**28 * (1.0 - common) ** 12
    expected = math.log(averaged(18, 2) * averaged(10, 10) / one)

    assert evidence(Rewards(20, 18.0), Rewards(20, 10.0)) == pytest.approx(expected, abs=1e-6)
    assert evidence(Rewards(20, 10.0), Rewards(20, 18.0)) == 0.0
    assert evidence(Rewards(0, 0.0), Rewards(20, 10.0)) == 0.0


@pytest.mark.parametrize(
    ("better", "other"),
    [
        (Rewards(100, 90.0), Rewards(80, 60.0)),
        (Rewards(1_000, 999.0), Rewards(30, 25.0)),
        (Rewards(100, 100.0), Rewards(100, 0.0)),
        (Rewards(60, 50.5), Rewards(9, 0.5)),
    ],
)
def test_with_a_margin_the_likeliest_means_are_that_far_apart(
    better: Rewards, other: Rewards
) -> None:
    def cost(m: float) -> float:
        return -sum(
            seen.total * math.log(at) + (seen.number - seen.total) * math.log1p(-at)
            for seen, at in ((better, m), (other, m + 0.05))
        )

    least = optimize.minimize_scalar(
        cost, bounds=(1e-9, 0.95 - 1e-9), method="bounded", options={"xatol": 1e-12}
    )
    mixtures = sum(
        math.lgamma(0.5 + s.total)
        + math.lgamma(0.5 + s.number - s.total)
        - math.lgamma(1.0 + s.number)
        - math.log(math.pi)
        for s in (better, other)
    )
    found = evidence(better, other, margin=0.05)
    assert found == pytest.approx(max(mixtures + least.fun, 0.0), abs=0.01)


def test_confidence_is_bounded_by_the_weakest_comparison() -> None:
    arms = [Rewards(200, 180.0), Rewards(200, 150.0), Rewards(200, 100.0)]
    weakest = evidence(arms[0], arms[1])

    assert confidence_in(arms, best=0) == pytest.approx(1.0 - 2.0 * math.exp(-weakest))
    assert confidence_in(arms, best=1) == 0.0
    assert confidence_in(arms[:1], best=0) == 1.0
