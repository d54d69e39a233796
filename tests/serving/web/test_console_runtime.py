"""A console process's work beside Django: it publishes, hears of changes, renders metrics."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import redis
from django.db import OperationalError

from registry.following.followers import note_followed
from registry.releases.restarts import Ending, note_ending
from serving.endpoints.console.metrics_page import MetricsPage, metrics_endpoint
from serving.http.asgi import Scope
from serving.metrics.published import CONSOLES, read_published_async
from serving.web.console import ConsoleRuntime, ConsoleSpec

CHANNEL = "clipper:changes"
SECONDS = 20


class Versions:
    """The names of versions, as the database tells them."""

    def __init__(self) -> None:
        self.reads = 0
        self.away = False

    def read(self) -> Mapping[int, str]:
        self.reads += 1
        if self.away:
            raise OperationalError("no such host")
        return {1: "svm:1"}


@pytest.fixture
def versions() -> Versions:
    return Versions()


@pytest.fixture
async def console(redis_socket: str, versions: Versions) -> AsyncIterator[ConsoleRuntime]:
    runtime = ConsoleRuntime(
        ConsoleSpec(
            redis_url=f"unix://{redis_socket}",
            registry_channel=CHANNEL,
            read_arms=versions.read,
        )
    )
    await runtime.redis.flushall()
    await runtime.start()
    yield runtime
    await runtime.stop()


async def published(console: ConsoleRuntime) -> dict[str, Any]:
    """Return what it publishes, once that tells what it has counted of artifacts by now."""
    counted = console.artifacts.published()
    async with asyncio.timeout(SECONDS):
        while True:
            for document in await read_published_async(console.redis, among=CONSOLES):
                own = document["id"] == console.metrics.process_id
                if own and document["artifacts"] == counted:
                    return document
            await asyncio.sleep(0.02)


async def test_it_publishes_what_it_counts_apart_from_those_who_answer_queries(
    console: ConsoleRuntime,
) -> None:
    console.artifacts.sent = 3
    document = await published(console)
    assert document["artifacts"]["sent"] == 3
    assert document["rss_bytes"] > 1 << 20
    assert (document["applications"], document["versions"]) == ({}, {})
    assert await read_published_async(console.redis) == []


async def test_who_waits_hears_of_the_next_change(console: ConsoleRuntime) -> None:
    change = console.next_change
    async with asyncio.timeout(SECONDS):
        while not change.done():
            await console.redis.publish(CHANNEL, "something")
            await asyncio.wait([change], timeout=0.1)
    assert console.next_change is not change


async def test_the_metrics_are_put_together_once_for_all_who_ask(
    console: ConsoleRuntime, versions: Versions
) -> None:
    console.artifacts.sent_bytes = 77
    await published(console)
    page = MetricsPage(console)
    texts = await asyncio.gather(*(page.text() for _ in range(20)))
    assert versions.reads == 1
    assert len(set(texts)) == 1
    process = console.metrics.process_id
    assert f'clipper_artifacts_sent_bytes_total{{process="{process}"}} 77.0' in texts[0].decode()


async def test_the_metrics_go_on_without_the_database(
    console: ConsoleRuntime, versions: Versions, redis_socket: str
) -> None:
    with redis.Redis.from_url(f"unix://{redis_socket}") as client:
        ending = Ending(host="here", pid=1, reason="killed")
        note_ending(client, ending, replica_id="r", version_id=1)
    page = MetricsPage(console)
    line = b'clipper_version_restarts_total{host="here",version="svm:1"} 1.0'
    assert line in await page.text()
    versions.away = True
    async with asyncio.timeout(SECONDS):
        while versions.reads < 2:
            assert line in await page.text()
            await asyncio.sleep(0.1)


async def test_without_redis_the_metrics_say_so(versions: Versions) -> None:
    runtime = ConsoleRuntime(
        ConsoleSpec(
            redis_url="unix:///nowhere/redis.sock",
            registry_channel=CHANNEL,
            read_arms=versions.read,
        )
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    await metrics_endpoint(runtime)(scope, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 503
    await runtime.redis.aclose()


async def test_a_change_is_followed_by_all_who_answer_queries(
    redis_socket: str, versions: Versions
) -> None:
    runtime = ConsoleRuntime(
        ConsoleSpec(
            redis_url=f"unix://{redis_socket}",
            registry_channel=CHANNEL,
            read_arms=versions.read,
            last_change=lambda: 7,
        )
    )
    await note_followed(runtime.redis, "p", number=7)
    async with asyncio.timeout(SECONDS):
        await runtime.followed()
    await runtime.redis.aclose()
