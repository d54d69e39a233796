"""Burn rates: outages page in minutes, and a quiet service sleeps."""

import numpy as np
import pytest

from serving.alerts.burn_rates import FAST, PERIOD_S, SLOW, BadShare, burning, is_above, misses

MONTH = 28 * 86_400.0


def outage_s(*, target: float, rate: float) -> float:
    """Return how long a total outage lasts before it is seen, after a flawless month."""
    for seconds in range(400, 3600):

        def within(window: float, gone: int = seconds) -> BadShare:
            return BadShare(round(min(gone, window) * rate), round(window * rate))

        if burning(FAST, target=target, period_s=MONTH, within=within):
            return seconds
    return float("inf")


def test_a_total_outage_uses_two_percent_of_the_budget_of_28_days_before_it_is_seen() -> None:
    assert outage_s(target=0.99, rate=50.0) == pytest.approx(8.06 * 60, abs=10.0)


def test_the_windows_scale_with_the_period() -> None:
    asked = []

    def within(seconds: float) -> BadShare:
        asked.append(seconds)
        return BadShare(50, 100)

    found = burning(FAST, target=0.99, period_s=7 * 86_400.0, within=within)
    assert asked == [900.0, 75.0]
    assert found is not None
    assert found[0] == pytest.approx(50.0)


def test_a_burn_that_is_over_is_not_seen() -> None:
    def within(seconds: float) -> BadShare:
        return BadShare(500, 1000) if seconds >= 3600 else BadShare(0, 80)

    assert burning(FAST, target=0.99, period_s=MONTH, within=within) is None


@pytest.mark.parametrize(
    "counted", [BadShare(1, 1), BadShare(1, 3), BadShare(2, 60), BadShare(0, 0)]
)
def test_a_few_bad_queries_of_a_quiet_service_are_no_evidence(counted: BadShare) -> None:
    for burns in (FAST, SLOW[:1]):
        found = burning(burns, target=0.99, period_s=MONTH, within=lambda seconds: counted)
        assert found is None


def test_the_lower_bound_is_that_of_clopper_and_pearson() -> None:
    from scipy.stats import beta  # type: ignore[import-untyped]  # it has no stubs

    for bad, total in ((3, 10), (20, 400), (700, 10_000)):
        lower = beta.ppf(0.01, bad, total - bad + 1)
        assert is_above(BadShare(bad, total), share=lower - 1e-6)
        assert not is_above(BadShare(bad, total), share=lower + 1e-6)


def test_a_missed_objective_takes_more_than_a_handful_of_bad_queries() -> None:
    assert not misses(BadShare(5, 100), target=0.99)
    assert misses(BadShare(50, 1000), target=0.99)
    assert not misses(BadShare(50, 6000), target=0.99)


def test_ten_thousand_nights_at_one_query_a_minute_page_once_at_most() -> None:
    nights, minutes, share = 10_000, 480, 0.005
    rng = np.random.default_rng(7)
    pages = 0
    for _ in range(nights):
        # The night, after three days of the same.
        bad = np.concatenate([[0], np.cumsum(rng.random(3 * 1440 + minutes) < share)])
        pages += _pages(bad, minutes=minutes)
    assert pages <= 1


def _pages(bad: "np.ndarray[tuple[int], np.dtype[np.int64]]", *, minutes: int) -> bool:
    """Return whether any rule of burn rates, or the missed objective, fires in the last minutes."""
    first, last = len(bad) - minutes, len(bad)
    candidates: set[int] = set()
    for burn in (*FAST, *SLOW):
        window = int(burn.long_s / 60)
        threshold = burn.share * PERIOD_S / burn.long_s * 0.01
        lately = bad[first:last] - bad[np.maximum(np.arange(first, last) - window, 0)]
        # Only these may be above: the exact question is asked of few.
        candidates |= set(first + np.flatnonzero(lately > 1.3 * threshold * window))
    for minute in sorted(candidates):

        def within(seconds: float, at: int = int(minute)) -> BadShare:
            begin = max(0, at - int(seconds / 60))
            return BadShare(int(bad[at] - bad[begin]), at - begin)

        if any(
            burning(burns, target=0.99, period_s=MONTH, within=within) for burns in (FAST, SLOW)
        ):
            return True
    queries = np.arange(len(bad))
    return any(
        misses(BadShare(int(bad[number]), int(number)), target=0.99)
        for number in np.flatnonzero((bad >= 20) & (bad > 0.01 * queries))
    )
