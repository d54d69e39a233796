"""A replica goes where it alone keeps failing, and comes back."""

from __future__ import annotations

import pytest

from serving.engine.health import (
    FAILURES_TO_EJECT,
    FIRST_EJECTION_S,
    LONGEST_EJECTION_S,
    Health,
)


def fail(health: Health, *, times: int, successes: int = 0, each: int = 1) -> bool:
    """Fail while the others answer `each` batch meanwhile; return what came of the last one."""
    for _ in range(times):
        goes = health.failed(successes=successes)
        successes += each
    return goes


def test_it_goes_after_failing_several_times_in_a_row_while_others_answer() -> None:
    assert not fail(Health(), times=FAILURES_TO_EJECT - 1)
    assert fail(Health(), times=FAILURES_TO_EJECT)


def test_it_stays_where_nobody_else_succeeds_either() -> None:
    assert not fail(Health(), times=100, successes=1000, each=0)


def test_a_success_in_between_starts_the_count_anew() -> None:
    health = Health()
    fail(health, times=FAILURES_TO_EJECT - 1)
    health.succeeded()
    assert not fail(health, times=FAILURES_TO_EJECT - 1)


def test_each_ejection_lasts_twice_as_long_up_to_a_limit() -> None:
    health = Health()
    pauses = []
    for _ in range(12):
        health.eject(now=100.0)
        pauses.append(health.back_at - 100.0)
        health.readmit(successes=0)
    assert pauses[0] == FIRST_EJECTION_S
    assert pauses[1:3] == [2 * FIRST_EJECTION_S, 4 * FIRST_EJECTION_S]
    assert pauses[-1] == LONGEST_EJECTION_S


def test_one_that_fails_for_days_comes_back_as_often() -> None:
    health = Health()
    for _ in range(2000):
        health.eject(now=0.0)
        health.readmit(successes=0)
    assert health.back_at == LONGEST_EJECTION_S


def test_on_probation_one_failure_is_enough() -> None:
    health = Health()
    health.eject(now=0.0)
    health.readmit(successes=7)
    assert health.failed(successes=8)


def test_on_probation_it_stays_as_long_as_all_fail() -> None:
    health = Health()
    fail(health, times=FAILURES_TO_EJECT)
    health.eject(now=0.0)
    health.readmit(successes=50)
    assert not fail(health, times=20, successes=50, each=0)


def test_a_success_on_probation_clears_its_record() -> None:
    health = Health()
    for _ in range(3):
        health.eject(now=0.0)
    health.readmit(successes=0)
    health.succeeded()
    assert not fail(health, times=FAILURES_TO_EJECT - 1)
    health.eject(now=0.0)
    assert health.back_at == pytest.approx(FIRST_EJECTION_S)
