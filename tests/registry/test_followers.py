"""Who has changed something can wait until it holds for every process that answers queries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from redis.asyncio import Redis

from core.changes import NUMBER_KEY, announce, announced
from registry.followers import (
    FOLLOWED_CHANNEL,
    FOLLOWERS,
    RETURNING_KEY,
    Followers,
    leave_followers,
    note_followed,
)
from tests.redis_server import redis_server

# Longer than any of these waits where it ends as it should.
LONG_S = 60.0


@pytest.fixture(autouse=True)
def _nobody_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a machine stalls between two steps of a test."""
    monkeypatch.setattr("registry.followers.TTL_S", LONG_S)


@pytest.fixture
async def client(server_redis: redis.Redis, redis_socket: str) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=redis_socket) as client:
        yield client


async def changed(server: redis.Redis, client: Redis) -> int:
    announce(server, {"model": frozenset({1})})
    return await announced(client)


async def test_nobody_is_waited_for_where_nobody_answers(
    client: Redis, server_redis: redis.Redis
) -> None:
    await changed(server_redis, client)
    assert await Followers(client).everyone_followed(timeout_s=LONG_S)


async def test_all_are_waited_for(client: Redis, server_redis: redis.Redis) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "a", number=number - 1)
    await note_followed(client, "b", number=number - 1)
    waiting = asyncio.create_task(Followers(client).everyone_followed(timeout_s=LONG_S))
    await note_followed(client, "a", number=number)
    assert not await Followers(client).everyone_followed(timeout_s=0.05)
    assert not waiting.done()
    await note_followed(client, "b", number=number + 1)
    assert await waiting


async def test_it_is_one_second_unless_something_else_is_said(
    client: Redis, server_redis: redis.Redis
) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "hangs", number=number - 1)
    async with asyncio.timeout(LONG_S):
        assert not await Followers(client).everyone_followed()


async def test_what_is_announced_afterwards_is_not_waited_for(
    client: Redis, server_redis: redis.Redis
) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "a", number=number - 1)
    waiting = asyncio.create_task(Followers(client).everyone_followed(timeout_s=LONG_S))
    async with asyncio.timeout(LONG_S):
        while (await client.pubsub_numsub(FOLLOWED_CHANNEL))[0][1] == 0:
            await asyncio.sleep(0)
    await changed(server_redis, client)
    await note_followed(client, "a", number=number)
    assert await waiting


async def test_a_redis_that_has_lost_everything_confirms_nothing(
    client: Redis, server_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    followers = Followers(client)
    await note_followed(client, "a", number=await changed(server_redis, client))
    await note_followed(client, "b", number=await announced(client))
    assert await followers.everyone_followed(timeout_s=LONG_S)

    monkeypatch.setattr("registry.followers.RETURN_WITHIN_S", LONG_S)
    await client.flushall()
    number = await changed(server_redis, client)
    assert not await followers.everyone_followed(timeout_s=0.05)
    # The first one that is back may not be all.
    await note_followed(client, "a", number=number)
    assert not await followers.everyone_followed(timeout_s=0.05)
    waiting = asyncio.create_task(followers.everyone_followed(timeout_s=LONG_S))
    await note_followed(client, "b", number=number)
    await client.delete(RETURNING_KEY)  # as if its time were over

    assert await waiting


async def test_one_that_leaves_is_waited_for_no_longer(
    client: Redis, server_redis: redis.Redis
) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "a", number=number - 1)
    waiting = asyncio.create_task(Followers(client).everyone_followed(timeout_s=LONG_S))
    await leave_followers(client, "a")
    assert await waiting


async def test_one_that_died_is_waited_for_until_its_word_expires(
    client: Redis, server_redis: redis.Redis
) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "killed", number=number - 1)
    await client.pexpire(f"{FOLLOWERS.prefix}killed", 300)
    assert await Followers(client).everyone_followed(timeout_s=LONG_S)


async def test_nothing_stays_of_those_that_died(client: Redis, server_redis: redis.Redis) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "killed", number=number)
    await client.delete(f"{FOLLOWERS.prefix}killed")  # as it expires
    await note_followed(client, "lives", number=number)
    assert await client.zrange(FOLLOWERS.index, 0, -1) == [b"lives"]


async def test_many_who_wait_at_once_are_all_told(client: Redis, server_redis: redis.Redis) -> None:
    number = await changed(server_redis, client)
    await note_followed(client, "a", number=number - 1)
    followers = Followers(client)
    waiting = [
        asyncio.create_task(followers.everyone_followed(timeout_s=LONG_S)) for _ in range(50)
    ]
    await note_followed(client, "a", number=number)
    assert all(await asyncio.gather(*waiting))


async def test_numbers_go_on_growing_where_redis_has_lost_everything(
    client: Redis, server_redis: redis.Redis
) -> None:
    before = await changed(server_redis, client)
    await client.delete(NUMBER_KEY)
    assert await changed(server_redis, client) > before


async def test_where_redis_is_away_nobody_waits() -> None:
    with redis_server() as server:
        client = Redis.from_url(server.url)
        assert await Followers(client).everyone_followed()
        server.kill()
        async with asyncio.timeout(LONG_S):
            assert not await Followers(client).everyone_followed()
        await client.aclose()
