"""How failures of a version are counted, and what makes up for them."""

from __future__ import annotations

import pytest
import redis

from serving.cluster.failures import FailureCounts


@pytest.fixture
def failures(client: redis.Redis) -> FailureCounts:
    return FailureCounts(client)


def test_one_that_failed_while_it_loaded_is_on_no_probation(failures: FailureCounts) -> None:
    failures.note(1)

    assert failures.count(1) == 1
    assert failures.on_probation([1]) == frozenset()


def test_one_that_failed_while_it_served_is_on_probation(failures: FailureCounts) -> None:
    failures.note(1, lasting=True)

    assert failures.on_probation([1, 2]) == {1}
    assert failures.held_back([1, 2]) == {1}


def test_each_failure_on_probation_doubles_the_pause(
    failures: FailureCounts, client: redis.Redis
) -> None:
    pauses = []
    for _ in range(3):
        failures.note(1, lasting=True)
        pauses.append(client.pttl("clipper:backoff:1") / 1000)
        client.delete("clipper:backoff:1")

    assert [round(pause) for pause in pauses] == [1, 2, 4]


def test_a_new_release_starts_with_a_clean_slate(failures: FailureCounts) -> None:
    failures.note(1, lasting=True)

    failures.forget([1])

    assert failures.count(1) == 0
    assert failures.held_back([1]) == failures.on_probation([1]) == frozenset()
