"""Percentiles, the P99 line, and what holds of an experiment."""

from __future__ import annotations

import math

import pytest

from benchmarks.quantiles import Line, percentile, quantile_line
from benchmarks.targets import Target, number, verdicts


def target(seen: float, **bounds: float) -> Target:
    return Target(figure="fig0", what="something", seen=seen, **bounds)


# Percentiles.


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0


def test_there_is_no_percentile_of_nothing():
    assert math.isnan(percentile([], 0.99))


# The line.


def test_the_p99_line_of_points_on_a_line_is_that_line():
    sizes = [1, 2, 4, 8, 16, 32] * 10
    line = quantile_line(sizes, [0.002 + 0.0005 * size for size in sizes])
    assert line.fixed == pytest.approx(0.002, rel=1e-3)
    assert line.row == pytest.approx(0.0005, rel=1e-3)


def test_99_of_100_points_lie_on_or_below_the_line():
    sizes = [1 + n % 50 for n in range(500)]
    latencies = [0.001 * size + 0.0001 * ((7 * n) % 100) for n, size in enumerate(sizes)]
    line = quantile_line(sizes, latencies)
    below = sum(y <= line.at(x) + 1e-9 for x, y in zip(sizes, latencies, strict=True))
    assert below >= 0.985 * len(sizes)


def test_the_largest_batch_is_where_the_line_crosses_the_objective():
    assert Line(fixed=0.002, row=0.001).largest_within(0.020) == pytest.approx(18.0)


def test_a_batch_holds_at_least_one_query():
    assert Line(fixed=0.050, row=0.001).largest_within(0.020) == 1.0


def test_a_flat_line_sets_no_limit():
    assert Line(fixed=0.002, row=0.0).largest_within(0.020) == math.inf


# Targets.


def test_a_target_holds_from_its_lower_bound_on():
    assert target(2.0, at_least=2.0).holds
    assert not target(1.99, at_least=2.0).holds


def test_a_target_holds_up_to_its_upper_bound():
    assert target(22.0, at_most=22.0).holds
    assert not target(22.1, at_most=22.0).holds


def test_both_bounds_count():
    assert target(1.0, at_least=0.85, at_most=1.15).holds
    assert not target(1.2, at_least=0.85, at_most=1.15).holds
    assert target(1.0, at_least=0.85, at_most=1.15).wanted == "≥ 0.85 and ≤ 1.15"


def test_what_was_not_seen_does_not_hold():
    assert not target(math.nan, at_least=0.0).holds
    assert target(math.nan, at_most=1.0).found == "nothing"


@pytest.mark.parametrize(
    ("value", "text"), [(241.0, "241"), (3.3456, "3.35"), (48934.2, "48,900"), (0.0832, "0.0832")]
)
def test_numbers_are_told_in_three_digits(value, text):
    assert number(value) == text


def test_the_table_says_which_targets_were_missed():
    text = verdicts([target(3.0, at_least=2.0), target(1.0, at_least=2.0)])
    assert "holds" in text
    assert "1 of 2 targets MISSED: fig0, something." in text


def test_all_targets_that_hold_are_one_line():
    assert verdicts([target(3.0, at_least=2.0)]).endswith("All 1 targets hold.")
