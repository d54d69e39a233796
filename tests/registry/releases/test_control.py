"""The control worker is known by its last round, and its age by Redis alone."""

import os
from collections.abc import Iterator

import pytest
import redis

from registry.releases.control import KEPT_S, KEY, note_round, read_control


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        yield client


def grow_old(client: redis.Redis, *, seconds: float) -> None:
    client.pexpire(KEY, int((KEPT_S - seconds) * 1000))


def test_one_that_has_just_done_a_round_is_well(client: redis.Redis) -> None:
    note_round(client)

    control = read_control(client)

    assert control.problem == ""
    assert control.last is not None
    assert control.last.pid == os.getpid()


def test_one_that_fell_silent_is_said_to_be(client: redis.Redis) -> None:
    note_round(client)
    grow_old(client, seconds=75)

    assert f"(process {os.getpid()} on " in read_control(client).problem
    assert "is silent for 75 s: no release advances" in read_control(client).problem


def test_where_none_ever_was_that_is_said(client: redis.Redis) -> None:
    assert read_control(client).age_s is None
    assert read_control(client).problem.startswith("No control worker has been heard of")


def test_rounds_that_fail_are_no_good_sign(client: redis.Redis) -> None:
    note_round(client, error="OperationalError: disk full")

    problem = read_control(client).problem
    assert problem == "The control worker's rounds fail: OperationalError: disk full"


def test_the_wall_clock_of_whoever_asks_makes_no_difference(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_round(client)
    monkeypatch.setattr("time.time", lambda: 4e9)

    assert read_control(client).problem == ""
