"""Medians, ratios and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load import Load, WrkResult
from benchmarks.report import Run, Scenario, doubts, ratio, table, throughput_table


def load(connections: int) -> Load:
    return Load(url="http://x/", bodies=Path("x.txt"), unique=False, connections=connections)


def run(requests: int, *, status: int = 0, p99_us: int = 5000, elsewhere: float = 0.0) -> Run:
    wrk = WrkResult(
        requests=requests,
        duration_us=1_000_000,
        p50_us=1000,
        p90_us=2000,
        p99_us=p99_us,
        max_us=9000,
        connect=0,
        read=0,
        write=0,
        timeout=0,
        status=status,
    )
    return Run(
        wrk=wrk,
        cores={"web": 0.9, "replica svm:1": 0.3, "replica knn:1": 0.1, "elsewhere": elsewhere},
    )


def scenarios() -> dict[str, Scenario]:
    echo = Scenario(name="echo", load=load(64), runs=[run(1000), run(2000), run(1000)])
    ours = Scenario(
        name="hits", load=load(64), yardstick="echo", runs=[run(600), run(1400), run(500)]
    )
    return {"echo": echo, "hits": ours}


def test_a_ratio_compares_runs_of_the_same_round() -> None:
    both = scenarios()
    assert ratio(both["hits"], all_scenarios=both) == pytest.approx(0.6)


def test_the_yardstick_has_no_ratio() -> None:
    both = scenarios()
    assert ratio(both["echo"], all_scenarios=both) is None


def test_a_scenario_shows_its_median_and_all_of_its_errors() -> None:
    scenario = Scenario(name="x", load=load(1), runs=[run(10), run(30, status=5), run(20)])
    assert scenario.rate == 20
    assert scenario.errors == 5
    assert scenario.latency_ms("p99") == 5.0


def test_columns_line_up() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc   d"


def test_the_table_names_rate_spread_and_ratio() -> None:
    hits = throughput_table(scenarios()).splitlines()[2].split()
    assert hits[:5] == ["hits", "64", "600", "500-1,400", "0.60"]


def test_a_quiet_machine_raises_no_doubts() -> None:
    assert doubts(scenarios()) is None


def test_runs_beside_busy_neighbours_are_called_doubtful() -> None:
    scenario = Scenario(name="x", load=load(1), runs=[run(10), run(10, elsewhere=0.8)])
    assert "1 of 2 runs" in (doubts({"x": scenario}) or "")


def test_the_cpu_time_of_a_query_is_that_of_its_server() -> None:
    scenario = Scenario(name="x", load=load(1), application="digits", runs=[run(9000)])
    assert scenario.server_us == pytest.approx(100.0)
