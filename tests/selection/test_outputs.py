"""Large outputs wait in Redis under their nonce, and keeping them never waits."""

from __future__ import annotations

from redis.asyncio import Redis

from selection.outputs import OutputStore
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
    outputs = OutputStore(aredis, capacity_bytes=250)
    for nonce in (b"1", b"2", b"3"):
        outputs.keep(nonce, outputs={"a:1": b"x" * 100}, ttl_s=60)
    assert list(await outputs.fetch([b"1", b"2", b"3"])) == [b"2", b"3"]


async def test_what_waits_while_redis_is_away_is_written_when_it_is_back():
    with redis_server() as server:
        async with Redis.from_url(server.url, retry=None) as client:
            outputs = OutputStore(client)
            await outputs.start()
            server.kill()
            outputs.keep(b"one", outputs=OUTPUTS, ttl_s=60)
            server.start()
            await eventually(lambda: not outputs._waiting)
            assert await outputs.fetch([b"one"]) == {b"one": OUTPUTS}
            await outputs.stop()
