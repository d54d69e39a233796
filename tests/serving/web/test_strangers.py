"""A key that nobody made has nothing read; one that was just made is known a moment later."""

import asyncio
from types import MappingProxyType

import pytest

from core.errors import UnknownKey
from core.specs import ApiKeySpec, Snapshot
from serving.engine.engine import EngineSpec
from serving.rpc.tcp.credentials import Credentials
from serving.testing import key_spec, registry_of
from serving.web.runtime import Runtime, RuntimeSpec

NEW = key_spec("new")
# In the seconds that the test takes, the registry is also looked at because it is time to.
POLLS = 4


class Registry:
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0
        self.keys: dict[str, ApiKeySpec] = {}

    def read(self) -> Snapshot:
        self.reads += 1
        return Snapshot(keys=MappingProxyType(dict(self.keys)))


def key_in(snapshot: Snapshot) -> ApiKeySpec:
    found = snapshot.keys.get(NEW.digest)
    if found is None:
        raise UnknownKey("unknown")
    return found


async def started(registry: Registry, *, redis_socket: str) -> Runtime:
    runtime = Runtime(
        RuntimeSpec(
            redis_url=f"unix://{redis_socket}?db=0",
            registry_channel="tests:registry",
            receipt_secret=b"s" * 32,
            credentials=Credentials(secret=b"s", tls=None),
            engine=EngineSpec(cache_bytes=1 << 20, queue_capacity=10, queue_bytes=1 << 20),
            max_body_bytes=1 << 20,
            registry=registry_of(registry.read),
            check_database=lambda: None,
        )
    )
    await runtime.start()
    return runtime


async def test_strangers_have_nothing_read(redis_socket: str) -> None:
    registry = Registry()
    runtime = await started(registry, redis_socket=redis_socket)
    try:
        with pytest.raises(UnknownKey):
            await runtime.found(key_in)
        before = registry.reads
        for _ in range(8):
            asked = [runtime.found(key_in) for _ in range(20)]
            refused = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(error) for error in refused} == {UnknownKey}
        assert registry.reads - before <= POLLS
    finally:
        await runtime.stop()


async def test_a_key_that_was_just_made_works(redis_socket: str) -> None:
    registry = Registry()
    runtime = await started(registry, redis_socket=redis_socket)
    try:
        registry.keys[NEW.digest] = NEW
        await runtime.redis.publish("tests:registry", "registry")
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await runtime.found(key_in) == NEW
                    break
                except UnknownKey:
                    continue
    finally:
        await runtime.stop()
