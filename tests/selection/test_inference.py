"""Inference at any time: exact values, coverage under continuous looking, evidence."""

import math
import random
from itertools import accumulate

import pytest
from scipy import integrate, optimize, stats  # type: ignore[import-untyped]  # it has none

from selection.inference import (
    STAKES,
    Rewards,
    Seen,
    asymptotic_evidence,
    evidence,
    evidence_of,
    half_width,
    mean,
    mean_of,
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


# --- by person --------------------------------------------------------------------------------


def seen(*people: tuple[float, float]) -> Seen:
    """An arm of which each person had so many labels, and so many of them right."""
    return Seen.of(
        sum(n for n, _ in people),
        sum(s for _, s in people),
        sum(n * n for n, _ in people),
        sum(n * s for n, s in people),
        sum(s * s for _, s in people),
        sum(n for n, _ in people),
    )


def draws(number: int, right: int) -> Seen:
    return seen(*[(1.0, float(draw < right)) for draw in range(number)])


NOT_BOTH = (0.0,) * 4


def test_few_people_count_as_one_draw_each() -> None:
    heavy = seen((300.0, 270.0), *[(1.0, 1.0)] * 20)

    assert heavy.people == pytest.approx(320.0**2 / 90_020.0)
    assert mean_of(heavy) == mean(Rewards(heavy.people, heavy.people * 290.0 / 320.0))
    assert evidence_of(draws(20, 18), draws(20, 10), both=NOT_BOTH) == pytest.approx(
        evidence(Rewards(20, 18.0), Rewards(20, 10.0))
    )


def test_rewards_that_depend_on_each_other_count_half_before_there_are_people_enough() -> None:
    apart = evidence_of(draws(20, 18), draws(20, 10), both=NOT_BOTH)
    together = evidence_of(draws(20, 18), draws(20, 10), both=(20.0, 10.0, 18.0, 9.0))

    assert together == pytest.approx(apart / 2.0)


def test_the_variance_is_that_of_means_by_cluster() -> None:
    people = [(4.0, 3.0), (2.0, 2.0), (5.0, 1.0)]
    found = seen(*people)
    off = sum((s - found.mean * n) ** 2 for n, s in people)

    assert found.variance == pytest.approx(off / 11.0**2 + 0.25 * 45.0 / 121.0 / 11.0)


def test_labels_of_one_person_tell_less_than_as_many_of_many() -> None:
    few = [(20.0, 20.0 * level) for level in (0.7, 0.8, 0.9, 1.0) * 10]
    many = draws(800, 680)
    better = draws(800, 760)

    assert evidence_of(better, many, both=NOT_BOTH) > 5.0
    assert evidence_of(seen(*[(n, min(s + 2.0, n)) for n, s in few]), seen(*few), both=NOT_BOTH) < 3
    one, other = mean_of(seen(*few)), mean_of(many)
    assert one is not None
    assert other is not None
    assert one.high - one.low > 1.3 * (other.high - other.low)


def test_what_people_have_in_common_doesn_t_count_against_a_difference() -> None:
    # Each person has two labels of both arms, and a level of their own.
    levels = [(place % 10) / 20.0 for place in range(100)]
    better, other = [(2.0, 2.0 * x + 0.1) for x in levels], [(2.0, 2.0 * x) for x in levels]
    pairs = list(zip(better, other, strict=True))
    both = (
        sum(n * m for (n, _), (m, _) in pairs),
        sum(n * t for (n, _), (_, t) in pairs),
        sum(s * m for (_, s), (m, _) in pairs),
        sum(s * t for (_, s), (_, t) in pairs),
    )

    assert evidence_of(seen(*better), seen(*other), both=NOT_BOTH) < 3.0
    assert evidence_of(seen(*better), seen(*other), both=both) > 10.0


@pytest.mark.parametrize("variance", [1e-6, 1e-4, 0.003])
@pytest.mark.parametrize("people", [30.0, 500.0, 1e6])
def test_an_interval_ends_where_the_evidence_is_one_over_alpha(
    variance: float, people: float
) -> None:
    half = half_width(variance, people=people)

    found = asymptotic_evidence(half, variance=variance, people=people)
    assert half == 1.0 or found == pytest.approx(math.log(20.0))
    assert asymptotic_evidence(half * 0.9, variance=variance, people=people) < math.log(20.0)


def test_equal_arms_of_people_are_not_found_unlike_however_often_one_looks() -> None:
    luck, found = random.Random(4), 0
    for _ in range(60):
        levels = [[luck.betavariate(8.0, 1.5) for _ in range(60)] for _ in range(2)]
        sums = [[[0.0, 0.0] for _ in arm] for arm in levels]
        for label in range(1, 2_001):
            arm, person = luck.randrange(2), luck.randrange(60)
            sums[arm][person][0] += 1.0
            sums[arm][person][1] += luck.random() < levels[arm][person]
            if label % 50 == 0:
                a, b = (seen(*[(n, s) for n, s in arm if n]) for arm in sums)
                if evidence_of(max(a, b, key=lambda x: x.mean), min(a, b, key=lambda x: x.mean),
                               both=NOT_BOTH) >= math.log(20.0):  # fmt: skip
                    found += 1
                    break
    assert found <= 3


def test_weights_whose_squares_are_0_tell_nothing() -> None:
    tiny = 1e-200
    seen = Seen.of(tiny, tiny, tiny * tiny, tiny * tiny, tiny * tiny, 1.0)
    assert seen.people == 0.0


def test_a_small_arm_that_has_not_failed_yet_is_not_taken_for_a_better_one() -> None:
    # At 0.97 one in twenty labels goes to an arm that may not fail once in a hundred.
    found = 0
    for seed in range(100):
        luck, sums = random.Random(seed), [[0.0, 0.0], [0.0, 0.0]]
        for label in range(1, 2_001):
            small = luck.random() < 0.05
            sums[small][0] += 1.0
            sums[small][1] += luck.random() < 0.97
            if label % 40 == 0:
                large, few = (Seen.of(n, s, n, s, s, n) for n, s in sums)
                if max(evidence_of(few, large, both=NOT_BOTH),
                       evidence_of(large, few, both=NOT_BOTH)) >= math.log(20.0):  # fmt: skip
                    found += 1
                    break
    assert found <= 4
