"""A writer can wait until its change holds for every process that answers queries."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from redis.asyncio import Redis

from core.redis.async_redis import bounded_redis
from registry.following.followers import (
    FOLLOWERS,
    everyone_followed,
    leave_followers,
    note_followed,
)
from tests.redis_server import redis_server

# Longer than any of these waits if it ends as it should.
LONG_S = 60.0


@pytest.fixture(autouse=True)
def _nobody_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a machine stalls between two steps of a test."""
    monkeypatch.setattr("registry.following.followers.TTL_S", LONG_S)


@pytest.fixture
async def client(server_redis: redis.Redis, redis_socket: str) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=redis_socket) as client:
        yield client


async def test_nobody_is_waited_for_if_nobody_answers(client: Redis) -> None:
    assert await everyone_followed(client, 7, timeout_s=LONG_S)


async def test_all_are_waited_for(client: Redis) -> None:
    await note_followed(client, "a", number=6)
    await note_followed(client, "b", number=6)
    waiting = asyncio.create_task(everyone_followed(client, 7, timeout_s=LONG_S))
    await note_followed(client, "a", number=7)
    assert not await everyone_followed(client, 7, timeout_s=0.05)
    assert not waiting.done()
    await note_followed(client, "b", number=8)
    assert await waiting


async def test_a_wait_ends_whenever_its_time_is_over(
    server_redis: redis.Redis, redis_socket: str
) -> None:
    """Also while a command is sent, when a cancellation may be forgotten."""
    async with bounded_redis(f"unix://{redis_socket}") as client:
        await note_followed(client, "hangs", number=6)
        times = [0.01 + n / 10_000 for n in range(100)]
        waits = [asyncio.create_task(everyone_followed(client, 7, timeout_s=s)) for s in times]
        _, pending = await asyncio.wait(waits, timeout=LONG_S / 6)
        assert not pending


async def test_the_wait_is_bounded(client: Redis) -> None:
    await note_followed(client, "hangs", number=6)
    async with asyncio.timeout(LONG_S):
        assert not await everyone_followed(client, 7)


async def test_one_that_leaves_is_waited_for_no_longer(client: Redis) -> None:
    await note_followed(client, "a", number=6)
    waiting = asyncio.create_task(everyone_followed(client, 7, timeout_s=LONG_S))
    await leave_followers(client, "a")
    assert await waiting


async def test_one_that_died_is_waited_for_until_its_key_expires(client: Redis) -> None:
    await note_followed(client, "killed", number=6)
    await client.pexpire(f"{FOLLOWERS.prefix}killed", 300)
    assert await everyone_followed(client, 7, timeout_s=LONG_S)
    await note_followed(client, "lives", number=7)
    assert await client.zrange(FOLLOWERS.index, 0, -1) == [b"lives"]


async def test_nobody_waits_for_a_redis_that_is_away() -> None:
    with redis_server() as server:
        client = Redis.from_url(server.url)
        assert await everyone_followed(client, 7)
        server.kill()
        async with asyncio.timeout(LONG_S):
            assert not await everyone_followed(client, 7)
        await client.aclose()
