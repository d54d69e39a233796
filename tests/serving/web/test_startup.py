"""A new web process reaches what the others reach before it takes connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from core.specs import Snapshot
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.seals import Seal
from serving.cluster.membership.views import LinkView, WebView, publish_view
from serving.engine.engine import EngineSpec
from serving.testing import VERSION, registry_of
from serving.web import startup
from serving.web.runtime import Runtime, RuntimeSpec
from serving.web.startup import NotReached, start_up
from tests.redis_server import RedisServer, redis_server
from tests.serving.cluster.samples import a_record
from tests.serving.container.server.test_server import LOOPBACK, Echo, serving
from tests.serving.web.linked import SERVED

CREDENTIALS = LOOPBACK.credentials
REPLICA = "r1"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "REACH_S", 1.0)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as one:
        yield one


@asynccontextmanager
async def started(server: RedisServer) -> AsyncIterator[Runtime]:
    runtime = Runtime(
        RuntimeSpec(
            redis_url=server.url,
            registry_channel="tests:registry",
            receipt_secret=b"s" * 32,
            credentials=CREDENTIALS,
            engine=EngineSpec(cache_bytes=0),
            max_body_bytes=1 << 20,
            registry=registry_of(Snapshot),
            check_database=lambda: None,
        )
    )
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


def list_replica(server: RedisServer, *, address: str) -> None:
    """Have the directory say that a replica is ready at that address."""
    with redis.Redis.from_url(server.url) as client:
        directory = Directory(client, seal=Seal(CREDENTIALS.secret))
        directory.announce(a_record(REPLICA, address=address, state=ReplicaState.READY, **SERVED))


async def another_reaches_it(runtime: Runtime, *, address: str) -> None:
    """Have another web process say that the replica has answered it."""
    links = {REPLICA: LinkView(address=address, proven=True)}
    await publish_view(runtime.redis, WebView(id="another", host="here", pid=1, links=links))


async def test_it_has_arrived_once_it_is_connected(server: RedisServer, tmp_path: Path) -> None:
    async with (
        serving(Echo(), address=f"unix:{tmp_path / 'r.sock'}") as replica,
        started(server) as runtime,
    ):
        list_replica(server, address=replica.address)
        await another_reaches_it(runtime, address=replica.address)
        await start_up(runtime, replaces=True)
        assert runtime.engine.connected(VERSION.id)


async def test_it_takes_nobodys_place_who_reaches_more(server: RedisServer, tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'nobody.sock'}"
    async with started(server) as runtime:
        list_replica(server, address=address)
        await another_reaches_it(runtime, address=address)
        with pytest.raises(NotReached, match="Not connected to svm:1, as other processes are"):
            await start_up(runtime, replaces=True)


async def test_where_there_is_no_other_it_begins_without(
    server: RedisServer, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path / 'nobody.sock'}"
    async with started(server) as runtime:
        list_replica(server, address=address)
        await another_reaches_it(runtime, address=address)
        async with asyncio.timeout(30):
            await start_up(runtime, replaces=False)


async def test_what_nobody_reaches_holds_nobody_up(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "REACH_S", 3600.0)
    async with started(server) as runtime:
        list_replica(server, address=f"unix:{tmp_path / 'nobody.sock'}")
        async with asyncio.timeout(30):
            await start_up(runtime, replaces=True)


async def test_it_takes_nobodys_place_where_redis_is_away(server: RedisServer) -> None:
    async with started(server) as runtime:
        server.kill()
        with pytest.raises(NotReached, match="Not connected to Redis"):
            await start_up(runtime, replaces=True)
