"""A lock lets in one at a time, and does no harm where it is lost."""

import pytest
import redis
from redis.exceptions import LockError

from core.redis.locks import exclusively

NAME = "clipper:lock:round"

pytestmark = pytest.mark.usefixtures("server_redis")


def test_only_one_at_a_time_has_the_lock() -> None:
    with exclusively(NAME, ttl_s=5) as first, exclusively(NAME, ttl_s=5) as second:
        assert first is not None
        assert second is None
    with exclusively(NAME, ttl_s=5) as again:
        assert again is not None


def test_one_who_was_not_let_in_does_not_free_the_lock(server_redis: redis.Redis) -> None:
    with exclusively(NAME, ttl_s=5):
        with exclusively(NAME, ttl_s=5):
            pass
        assert server_redis.exists(NAME)


def test_one_who_dies_inside_keeps_the_others_out_for_a_while(server_redis: redis.Redis) -> None:
    with exclusively(NAME, ttl_s=5):
        assert 0 < server_redis.pttl(NAME) <= 5000


def test_losing_the_lock_on_the_way_does_no_harm(
    server_redis: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with exclusively(NAME, ttl_s=5) as lock:
        server_redis.flushall()
        assert lock is not None
        with pytest.raises(LockError):
            lock.reacquire()

    assert f"lock outlived name={NAME}" in caplog.text


def test_one_who_waits_is_let_in_when_it_is_free(server_redis: redis.Redis) -> None:
    server_redis.set(NAME, "another", px=100)
    with exclusively(NAME, ttl_s=5, wait_s=20) as lock:
        assert lock is not None


def test_one_who_waits_in_vain_is_told(server_redis: redis.Redis) -> None:
    server_redis.set(NAME, "another")
    with exclusively(NAME, ttl_s=5, wait_s=0.01) as lock:
        assert lock is None
    assert server_redis.get(NAME) == b"another"
