"""What the rounds of `make bench` amount to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.quick_report import Quick, Round, Summary, doubts, notes, summed_up, throughput
from benchmarks.wrk import WrkResult


def a_round(requests: int, *, status: int = 0, elsewhere: float = 0.0) -> Round:
    wrk = WrkResult(
        requests=requests, duration_us=1_000_000, p50_us=1000, p90_us=2000, p99_us=5000,
        max_us=9000, connect=0, read=0, write=0, timeout=0, status=status,
    )  # fmt: skip
    cores = {"web": 0.9, "replica svm:1": 0.3, "replica knn:1": 0.1, "elsewhere": elsewhere}
    return Round(wrk=wrk, cores=cores)


def summary(
    *rounds: Round, name: str = "x", application: str | None = None,
    yardstick: Sequence[float] | None = None,
) -> Summary:  # fmt: skip
    return summed_up(
        name, connections=64, application=application, rounds=rounds, yardstick=yardstick
    )


def quick(*scenarios: Summary) -> Quick:
    return Quick(scenarios=list(scenarios), memory_before_mib={}, memory_after_mib={})


HITS = summary(
    a_round(600), a_round(1400), a_round(500), name="hits", yardstick=[1000.0, 2000.0, 1000.0]
)


def test_a_ratio_compares_runs_of_the_same_round() -> None:
    assert HITS.ratio_to_echo == pytest.approx(0.6)
    assert summary(a_round(10)).ratio_to_echo is None


def test_a_scenario_shows_its_median_and_all_of_its_errors() -> None:
    found = summary(a_round(10), a_round(30, status=5), a_round(20))
    assert (found.queries_per_second, found.errors, found.p99_ms) == (20, 5, 5.0)


def test_the_table_names_rate_spread_and_ratio() -> None:
    (_, row) = throughput(quick(HITS))
    assert row[:5] == ("hits", "64", "600", "500-1,400", "0.60")


def test_a_quiet_machine_raises_no_doubts() -> None:
    assert doubts(quick(HITS)) == ""


def test_runs_beside_busy_neighbours_are_called_doubtful() -> None:
    found = quick(summary(a_round(10), a_round(10, elsewhere=0.8)))
    assert "1 of 2 runs" in doubts(found)
    assert doubts(found) in notes(found)


def test_the_cpu_time_of_a_query_is_that_of_its_server() -> None:
    found = summary(a_round(9000), application="digits")
    assert found.server_cpu_us_per_query == pytest.approx(100.0)
