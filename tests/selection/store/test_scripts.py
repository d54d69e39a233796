"""Scripts run by their digest, know the fields by name, and their errors come through."""

import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from selection.store.redis_keys import FEEDBACK, POSITION, QUERIES, UPDATED
from selection.store.scripts import Script, ScriptCall

JOINED = Script("return KEYS[1] .. ARGV[1]")
PICKY = Script("return redis.call('HINCRBY', KEYS[1], 'n', ARGV[1])")


async def test_a_redis_that_has_lost_the_script_gets_it_again(aredis: Redis) -> None:
    call = ScriptCall(keys=["a"], arguments=["b"])
    await aredis.script_flush()
    assert await JOINED.run(aredis, [call]) == [b"ab"]
    await aredis.script_flush()
    assert await JOINED.run(aredis, [call, call]) == [b"ab", b"ab"]
    assert await aredis.script_exists(JOINED.sha) == [True]


async def test_a_script_knows_the_fields_by_the_names_that_are_read(aredis: Redis) -> None:
    (fields,) = await Script("return {FEEDBACK, QUERIES, UPDATED, POSITION}").run(
        aredis, [ScriptCall([], [])]
    )
    assert [field.decode() for field in fields] == [FEEDBACK, QUERIES, UPDATED, POSITION]


def test_where_waiting_is_allowed_a_script_runs_the_same(stream: redis.Redis) -> None:
    stream.script_flush()
    calls = [ScriptCall(keys=[key], arguments=[number]) for number, key in enumerate("abc")]
    assert JOINED.run_blocking(stream, calls) == [b"a0", b"b1", b"c2"]
    with pytest.raises(ResponseError, match="not an integer"):
        PICKY.run_blocking(stream, [ScriptCall(["a"], ["one"])])
