"""Counts of queries, which a web process tells Redis of: what they add, and what they prolong."""

import asyncio

import pytest
from redis.asyncio import Redis

from selection.store.query_counts import QueryCounts
from selection.store.redis_keys import EXPIRY_MARGIN_S, UNTAUGHT_CONTEXT_TTL_S
from tests.selection.hashes import log_weights

DAY_S = 86_400
GLOBAL, ANN = "clipper:selection:1:", "clipper:selection:1:ann"


async def asked(aredis: Redis, *contexts: str) -> None:
    counts = QueryCounts(aredis)
    for context in contexts:
        counts.add((1, DAY_S, context, ("svm:2",)), 1)
    await counts.flush()


async def test_a_context_that_was_never_taught_is_forgotten_soon(aredis: Redis) -> None:
    await asked(aredis, "", "ann")
    assert 0 < await aredis.ttl(ANN) <= UNTAUGHT_CONTEXT_TTL_S
    assert await aredis.ttl(GLOBAL) == -1


async def test_a_query_makes_a_taught_context_stay_as_long_as_feedback_does(aredis: Redis) -> None:
    await aredis.hset(ANN, mapping={**log_weights(svm=0), "t": "1"})
    await aredis.expire(ANN, 60)
    await asked(aredis, "ann")
    assert DAY_S < await aredis.ttl(ANN) <= DAY_S + EXPIRY_MARGIN_S
    assert await aredis.zrange("clipper:contexts:1", 0, -1) == [b"ann"]


async def test_many_contexts_are_told_of_in_one_call(aredis: Redis) -> None:
    counts = QueryCounts(aredis)
    for number in range(300):
        for arms in (("svm:2",), ("svm:2", "tree:1")):
            for application_id in (1, 2):
                counts.add((application_id, DAY_S, f"user-{number:03}", arms), 1)
    before = (await aredis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})
    await counts.flush()
    after = (await aredis.info("commandstats"))["cmdstat_evalsha"]
    assert 0 < after["calls"] - before["calls"] < 20
    for application_id in (1, 2):
        state = await aredis.hgetall(f"clipper:selection:{application_id}:user-299")
        assert state == {b"q:svm:2": b"2", b"q:tree:1": b"1"}
        everybody = await aredis.hgetall(f"clipper:selection:{application_id}:")
        assert everybody == {b"q:svm:2": b"600", b"q:tree:1": b"300"}


async def test_a_flush_ends_while_queries_go_on(aredis: Redis) -> None:
    counts = QueryCounts(aredis)

    def ask() -> None:
        counts.add((1, DAY_S, "ann", ("svm:2",)), 1)

    async def go_on() -> None:
        while True:
            ask()
            await asyncio.sleep(0)

    ask()
    asking = asyncio.create_task(go_on())
    async with asyncio.timeout(30):
        await counts.flush()
    asking.cancel()
    before = int(await aredis.hget(ANN, "q:svm:2") or 0)
    await counts.flush()
    assert int(await aredis.hget(ANN, "q:svm:2") or 0) > before >= 1


async def test_counts_that_wait_for_redis_are_bounded_and_none_is_lost(
    aredis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = QueryCounts(aredis, capacity=3)

    def ask(*contexts: str) -> None:
        for context in contexts:
            counts.add((1, DAY_S, context, ("svm:2",)), 1)

    async def away(redis: Redis, calls: object) -> None:
        ask("ann", "dan", "eve")
        raise ConnectionError

    ask("ann", "bob")
    with monkeypatch.context() as patched:
        patched.setattr("selection.store.query_counts.SCRIPT.run", away)
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await counts.flush()
    await counts.flush()
    kept = {name: await aredis.hget(f"{GLOBAL}{name}", "q:svm:2") for name in ("ann", "bob", "dan")}
    assert kept == {"ann": b"3", "bob": b"1", "dan": b"2"}
    assert await aredis.hget(f"{GLOBAL}eve", "q:svm:2") is None
