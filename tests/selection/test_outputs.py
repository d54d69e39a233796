"""Large outputs wait in Redis under their nonce, and keeping them never waits."""

from __future__ import annotations

import logging

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from selection.outputs import ENTRY_BYTES, WRITTEN_AT_ONCE, OutputStore
from tests.redis_server import redis_server
from tests.selection.eventually import eventually

OUTPUTS = {"svm:2": b"[1,2,3]", "tree:1": b'"seven"'}


async def test_it_returns_what_was_kept(outputs, aredis):
    outputs.keep(b"one", outputs=OUTPUTS, ttl_s=60)
    await eventually(lambda: not outputs._waiting)
    assert await outputs.fetch([b"one", b"two"]) == {b"one": OUTPUTS}
    assert 0 < await aredis.ttl(f"clipper:outputs:{b'one'.hex()}") <= 60


async def test_it_returns_what_redis_has_not_got_yet(aredis):
    outputs = OutputStore(aredis)  # not started: nothing is written
    outputs.keep(b"one", outputs=OUTPUTS, ttl_s=60)
    assert await outputs.fetch([b"one"]) == {b"one": OUTPUTS}


async def test_what_waits_is_written_on_stop(aredis):
    outputs = OutputStore(aredis)
    outputs.keep(b"one", outputs=OUTPUTS, ttl_s=60)
    await outputs.stop()
    assert await OutputStore(aredis).fetch([b"one"]) == {b"one": OUTPUTS}


async def test_beyond_its_capacity_the_oldest_are_given_up(aredis):
    outputs = OutputStore(aredis, capacity_bytes=2 * ENTRY_BYTES + 250)
    for nonce in (b"1", b"2", b"3"):
        outputs.keep(nonce, outputs={"a:1": b"x" * 100}, ttl_s=60)
    assert list(await outputs.fetch([b"1", b"2", b"3"])) == [b"2", b"3"]


async def test_what_waits_while_redis_is_away_is_written_when_it_is_back(caplog):
    caplog.set_level(logging.INFO, "selection.outputs")
    with redis_server() as server:
        async with Redis.from_url(server.url, retry=None) as client:
            outputs = OutputStore(client)
            await outputs.start()
            server.kill()
            outputs.keep(b"one", outputs=OUTPUTS, ttl_s=60)
            await eventually(lambda: bool(caplog.records))
            server.start()
            await eventually(lambda: not outputs._waiting)
            assert await outputs.fetch([b"one"]) == {b"one": OUTPUTS}
            assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
            await outputs.stop()


async def test_many_small_outputs_count_for_what_keeping_them_takes(aredis):
    outputs = OutputStore(aredis, capacity_bytes=10 * ENTRY_BYTES)
    for number in range(100):
        outputs.keep(bytes([number]), outputs={}, ttl_s=60)
    assert list(outputs._waiting) == [bytes([number]) for number in range(91, 100)]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pipelines that were sent; the third fails."""
    sizes: list[int] = []
    execute = Pipeline.execute

    async def observed(pipe: Pipeline, raise_on_error: bool = True) -> object:
        sizes.append(len(pipe))
        if len(sizes) == 3:
            raise RedisConnectionError
        return await execute(pipe, raise_on_error)

    monkeypatch.setattr(Pipeline, "execute", observed)
    return sizes


async def test_what_piled_up_is_written_in_parts_and_a_failure_repeats_only_its_own(
    aredis, written
):
    outputs = OutputStore(aredis)
    for number in range(2 * WRITTEN_AT_ONCE + 10):
        outputs.keep(number.to_bytes(4), outputs=OUTPUTS, ttl_s=60)

    await outputs.stop()
    assert (written, len(outputs._waiting)) == ([WRITTEN_AT_ONCE, WRITTEN_AT_ONCE, 10], 10)

    await outputs.stop()
    assert (written[3:], outputs._waiting_bytes) == ([10], 0)
    assert await aredis.dbsize() == 2 * WRITTEN_AT_ONCE + 10
