"""Counts of a version's failures on each host, and the ways to make up for them."""

import pytest
import redis

from serving.cluster.failures.failure_counts import FailureCounts, failure_texts

HOSTS = ("h1", "h2")


@pytest.fixture
def failures(client: redis.Redis) -> FailureCounts:
    return FailureCounts(client)


def test_a_failure_holds_its_version_back_where_it_happened(failures: FailureCounts) -> None:
    failures.note(1, host_id="h1")

    assert failures.held_back([1, 2], host_ids=HOSTS) == {1: {"h1"}, 2: frozenset()}


def test_one_that_failed_while_it_loaded_is_disproved_by_one_that_loads_there(
    failures: FailureCounts,
) -> None:
    failures.note(1, host_id="h1")
    failures.note(1, host_id="h2")

    failures.forget_disproved(1, host_ids=["h1"])

    assert list(failures.by_host(1)) == ["h2"]
    assert failures.held_back([1], host_ids=HOSTS) == {1: {"h2"}}
    assert not failures.is_on_probation(1)


def test_one_that_failed_while_it_served_is_on_probation(failures: FailureCounts) -> None:
    failures.note(1, host_id="h1", lasting=True)

    failures.forget_disproved(1, host_ids=HOSTS)

    assert failures.is_on_probation(1)
    assert not failures.is_on_probation(2)
    assert list(failures.by_host(1)) == ["h1"]


def test_each_failure_doubles_the_pause_on_its_host(
    failures: FailureCounts, client: redis.Redis
) -> None:
    pauses = []
    for _ in range(3):
        failures.note(1, host_id="h1")
        failures.note(1, host_id="h1")  # another replica, of the same cause
        pauses.append(client.pttl("clipper:backoff:1:h1") / 1000)
        client.delete("clipper:backoff:1:h1")

    assert [round(pause) for pause in pauses] == [1, 2, 4]


def test_a_failure_says_where_and_of_what_and_when_it_is_tried_again(
    failures: FailureCounts, client: redis.Redis
) -> None:
    for _ in range(3):
        failures.note(1, host_id="h1", host="app2", reason="no artifact")
        client.persist("clipper:backoff:1:h1")
        client.delete("clipper:backoff:1:h1")
    client.set("clipper:backoff:1:h1", 3, px=4400)

    assert failure_texts(client, [1, 2]) == {
        1: "failed 3 times on app2, next try in 4 s: no artifact"
    }


def test_a_new_release_starts_with_a_clean_slate(failures: FailureCounts) -> None:
    failures.note(1, host_id="h1", lasting=True)

    failures.forget([1])

    assert failures.by_host(1) == {}
    assert not failures.is_on_probation(1)
    assert failures.held_back([1], host_ids=HOSTS) == {1: frozenset()}
