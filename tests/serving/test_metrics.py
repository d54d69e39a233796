"""Web processes publish their numbers, and any process reads those of all that live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import time
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from serving.metrics import INDEX, KEY_PREFIX, publish, read_published, read_published_async


def document(web: str) -> dict[str, Any]:
    return {"id": web, "applications": {}, "versions": {}}


@pytest.fixture
async def client(redis_socket: str) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=redis_socket) as client:
        await client.flushall()
        yield client


async def test_what_is_published_is_read_with_and_without_blocking(
    client: Redis, redis_socket: str
) -> None:
    assert await read_published_async(client) == []
    await publish(client, document("b"))
    await publish(client, document("a"))

    assert await read_published_async(client) == [document("a"), document("b")]
    with redis.Redis(unix_socket_path=redis_socket) as blocking:
        assert read_published(blocking) == [document("a"), document("b")]


async def test_reading_never_searches_the_whole_of_redis(client: Redis, redis_socket: str) -> None:
    await publish(client, document("a"))
    await client.config_resetstat()

    await read_published_async(client)
    with redis.Redis(unix_socket_path=redis_socket) as blocking:
        read_published(blocking)

    commands = await client.info("commandstats")
    assert {"cmdstat_scan", "cmdstat_keys"}.isdisjoint(commands)
    assert commands["cmdstat_mget"]["calls"] == 2


async def test_a_process_whose_document_is_gone_is_not_read(client: Redis) -> None:
    await publish(client, document("a"))
    await publish(client, document("b"))
    await client.delete(f"{KEY_PREFIX}a")

    assert await read_published_async(client) == [document("b")]


async def test_publishing_forgets_the_processes_that_are_long_gone(client: Redis) -> None:
    await client.zadd(INDEX, {"gone": time() - 1})
    await publish(client, document("a"))

    assert await client.zrange(INDEX, 0, -1) == [b"a"]
