"""The overload judged: what counts as an answer in time, as memory that grows, as recovered."""

from __future__ import annotations

import math

import pytest

from benchmarks.generator import Query
from benchmarks.paper.overload import (
    Crowd,
    Flood,
    Overload,
    Reading,
    good_rate,
    in_time,
    in_vain,
    memory_growth,
    seconds_to_recover,
    targets,
)

OBJECTIVE = 0.1
IN_TIME = Query(5.0, 0.05, 0.0, 200, False)
DEFAULT = Query(5.0, 0.001, 0.0, 200, True)
LATE = Query(5.0, 0.2, 0.0, 200, False)
NO_ANSWER = Query(5.0, 10.0, 0.0, 0, False)


def flood(*samples: Query, memory: tuple[tuple[float, float], ...] = ()) -> Flood:
    return Flood(
        capacity=2.0,
        objective=OBJECTIVE,
        begin=4.0,
        end=14.0,
        samples=list(samples),
        memory=[Reading(at=at, mib=mib) for at, mib in memory],
    )


def crowd(connections: int, *, rate: float, next_by_model: bool = True) -> Crowd:
    return Crowd(
        connections=connections,
        rate=rate,
        all_rate=rate,
        p50=0.01,
        p99=0.02,
        errors=0,
        next_seconds=0.01,
        next_by_model=next_by_model,
    )


@pytest.mark.parametrize(
    ("sample", "good", "vain"),
    [
        (IN_TIME, True, False),
        (DEFAULT, False, False),
        (LATE, False, True),
        (NO_ANSWER, False, True),
    ],
)
def test_a_query_ends_in_time_by_default_or_in_vain(sample, good, vain):
    assert in_time(sample, objective=OBJECTIVE) is good
    assert in_vain(sample, objective=OBJECTIVE) is vain


def test_only_answers_in_time_and_during_the_overload_count():
    before = Query(1.0, 0.01, 0.0, 200, False)
    assert good_rate(flood(before, IN_TIME, IN_TIME, DEFAULT, LATE)) == pytest.approx(0.2)


def test_recovery_ends_with_the_first_good_answer_to_a_later_query():
    after = [Query(14.1, 0.01, 0.0, 200, True), Query(14.2, 0.03, 0.0, 200, False)]
    assert seconds_to_recover(flood(IN_TIME, *after)) == pytest.approx(0.23)


def test_without_a_good_answer_there_was_no_recovery():
    assert math.isnan(seconds_to_recover(flood(IN_TIME)))


def test_memory_is_compared_within_the_overload():
    readings = ((1.0, 50.0), (7.5, 100.0), (10.0, 101.0), (13.5, 104.0), (20.0, 400.0))
    assert memory_growth(flood(memory=readings)) == pytest.approx(1.04)


def test_a_next_query_that_no_model_answered_is_a_target_missed():
    crowds = [crowd(64, rate=100.0), crowd(1500, rate=90.0, next_by_model=False)]
    judged = {c.what: c for c in targets(Overload(flood=flood(IN_TIME), crowds=crowds))}
    assert judged["throughput, 1,500 connections : 64"].holds
    assert not judged["the next query after 1,500 connections"].holds
