"""Growth of counters of processes that come and go."""

from typing import Any

from selection.evaluation.counter_deltas import counted_since, keep_last_readings


def test_growth_adds_up_over_processes() -> None:
    before = {"web-1": {"a:1": [10, 8, 1, 1]}, "web-2": {"a:1": [5, 5, 0, 0]}}
    after = {"web-1": {"a:1": [12, 9, 2, 1]}, "web-2": {"a:1": [6, 6, 0, 0], "b:1": [3, 0, 0, 3]}}

    assert counted_since(before, after) == {"a:1": [3, 2, 1, 0], "b:1": [3, 0, 0, 3]}


def test_a_new_process_counts_from_its_start_and_one_that_is_gone_counts_nothing() -> None:
    before = {"web-1": {"a:1": [10, 8, 1, 1]}}

    assert counted_since(before, {"web-2": {"a:1": [4, 4, 0, 0]}}) == {"a:1": [4, 4, 0, 0]}
    assert counted_since(before, {}) == {}


def test_counters_that_went_back_were_begun_anew() -> None:
    assert counted_since({"web": {"a:1": [9, 9, 0, 0]}}, {"web": {"a:1": [2, 1, 1, 0]}}) == {
        "a:1": [2, 1, 1, 0]
    }


def test_a_process_that_was_slow_to_publish_is_not_counted_twice() -> None:
    first = {"web-1": {"a:1": [10, 10, 0, 0]}}
    missing = keep_last_readings(first, {})

    assert counted_since(missing, {"web-1": {"a:1": [11, 11, 0, 0]}}) == {"a:1": [1, 1, 0, 0]}


def test_of_processes_that_are_gone_only_the_latest_are_remembered() -> None:
    readings: dict[str, Any] = {}
    for number in range(500):
        readings = keep_last_readings(readings, {f"web-{number}": {}})

    assert len(readings) == 65
    assert list(readings)[-1] == "web-499"
