"""Large outputs wait in Redis under their nonce, and keeping them never waits."""

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from selection.store.large_outputs import ENTRY_BYTES, OutputStore
from selection.store.write_behind import WRITTEN_AT_ONCE
from tests.selection.eventually import eventually

OUTPUTS = {"svm:2": b"[1,2,3]", "tree:1": b'"seven"'}


async def test_it_returns_what_was_kept(outputs: OutputStore, aredis: Redis) -> None:
    outputs.keep(b"one", outputs=OUTPUTS, ttl_s=60)
    await eventually(lambda: not outputs.waiting)
    assert await outputs.fetch([b"one", b"two"]) == {b"one": OUTPUTS}
    assert 0 < await aredis.ttl(f"clipper:outputs:{b'one'.hex()}") <= 60


async def test_beyond_its_capacity_the_oldest_are_given_up(aredis: Redis) -> None:
    outputs = OutputStore(aredis, capacity_bytes=2 * ENTRY_BYTES + 250)
    for nonce in (b"1", b"2", b"3"):
        outputs.keep(nonce, outputs={"a:1": b"x" * 100}, ttl_s=60)
    assert list(await outputs.fetch([b"1", b"2", b"3"])) == [b"2", b"3"]


async def test_beyond_the_budget_those_that_would_expire_first_give_way(aredis: Redis) -> None:
    size = ENTRY_BYTES + len(b"\x81\xa3a:1\xc4\x64") + 100
    first = OutputStore(aredis, budget_bytes=3 * size)
    second = OutputStore(aredis, budget_bytes=3 * size)
    for store, nonce, ttl_s in ((first, b"1", 600), (second, b"2", 60), (first, b"3", 600)):
        store.keep(nonce, outputs={"a:1": b"x" * 100}, ttl_s=ttl_s)
        await store.writer.stop()
    assert (first.evicted, second.evicted, first.kept_bytes) == (0, 0, 3 * size)
    second.keep(b"4", outputs={"a:1": b"x" * 100}, ttl_s=600)
    await second.writer.stop()
    assert list(await first.fetch([b"1", b"2", b"3", b"4"])) == [b"1", b"3", b"4"]
    assert (second.evicted, second.kept_bytes) == (1, 3 * size)


async def test_thousands_of_embeddings_stay_within_the_budget(aredis: Redis) -> None:
    budget, embedding = 2 << 20, {"embed:1": b"[" + b"0.123456," * 1600 + b"0]"}
    before = (await aredis.info("memory"))["used_memory"]
    store = OutputStore(aredis, budget_bytes=budget)
    for number in range(3000):
        store.keep(number.to_bytes(4), outputs=embedding, ttl_s=86_400)
        if number % WRITTEN_AT_ONCE == 0:
            await store.writer.stop()
    await store.writer.stop()
    assert store.kept_bytes <= budget
    assert store.evicted > 2500
    assert list(await store.fetch([(2999).to_bytes(4)])) == [(2999).to_bytes(4)]
    # Its buffers for what arrives are among what the server uses.
    assert (await aredis.info("memory"))["used_memory"] - before < 4 * budget


async def test_nothing_is_kept_for_no_time_or_while_redis_is_short_of_memory(aredis: Redis) -> None:
    store = OutputStore(aredis)
    store.keep(b"1", outputs=OUTPUTS, ttl_s=0)
    store.paused = True
    store.keep(b"2", outputs=OUTPUTS, ttl_s=60)
    await store.writer.stop()
    assert await aredis.dbsize() == 0
    assert store.dropped == 1


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
    aredis: Redis, written: list[int]
) -> None:
    outputs = OutputStore(aredis)
    for number in range(2 * WRITTEN_AT_ONCE + 10):
        outputs.keep(number.to_bytes(4), outputs=OUTPUTS, ttl_s=60)

    await outputs.writer.stop()
    assert written == [1, 1, 1]
    assert len(outputs.waiting) == 10

    await outputs.writer.stop()
    assert (written[3:], outputs.waiting_bytes) == ([1], 0)
    assert await aredis.zcard("clipper:outputs-index") == 2 * WRITTEN_AT_ONCE + 10
