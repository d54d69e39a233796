"""Restarts are counted once each, by version and host, with what they were of."""

from collections.abc import Iterator

import pytest
import redis

from registry.releases.restarts import (
    COUNTS_KEY,
    ENDINGS_KEY,
    RECENT_KEY,
    Ending,
    note_ending,
    read_restarts,
)


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        yield client


def end(client: redis.Redis, replica_id: str, *, host: str = "app1", reason: str = "crash") -> None:
    ending = Ending(host=host, pid=1, reason=reason)
    note_ending(client, ending, replica_id=replica_id, version_id=7)


def test_a_crash_loop_is_counted_and_its_last_reasons_kept(client: redis.Redis) -> None:
    for number in range(20):
        end(client, f"r{number}", host=f"app{number % 2}", reason=f"signal {number} {5000 * 'x'}")

    found = read_restarts(client, [7, 8])

    assert list(found) == [7]
    assert found[7].by_host == {"app0": 10, "app1": 10}
    assert len(found[7].last) == 10
    assert found[7].total == 20
    assert {len(ending.reason) for ending in found[7].last} == {500}
    assert found[7].last[0].reason.startswith("signal 19 ")


def test_a_loop_is_of_ends_that_came_soon_after_one_another(client: redis.Redis) -> None:
    for number in range(2):
        end(client, f"r{number}")
    assert not read_restarts(client, [7])[7].is_loop
    end(client, "another")
    assert read_restarts(client, [7])[7].is_loop
    assert 0 < client.ttl(f"{RECENT_KEY}7") <= 600

    client.delete(f"{RECENT_KEY}7")  # as it expires
    end(client, "much later")
    restarts = read_restarts(client, [7])[7]
    assert (restarts.is_loop, restarts.total) == (False, 4)


def test_ends_that_go_on_for_days_are_counted_for_a_day(client: redis.Redis) -> None:
    end(client, "r1")
    for key in (COUNTS_KEY, ENDINGS_KEY):
        assert 86_395 <= client.ttl(f"{key}7") <= 86_400
        client.expire(f"{key}7", 60)  # nearly a day later

    end(client, "r2")

    assert read_restarts(client, [7])[7].total == 2
    for key in (COUNTS_KEY, ENDINGS_KEY):
        assert 0 < client.ttl(f"{key}7") <= 60


def test_an_end_that_two_notice_counts_once_and_the_first_says_why(client: redis.Redis) -> None:
    end(client, "r1", reason="its process ended with signal 9 (SIGKILL)")
    end(client, "r1", reason="its process ended")

    (found,) = read_restarts(client, [7]).values()
    assert (found.total, len(found.last)) == (1, 1)
    assert "SIGKILL" in found.last[0].reason
