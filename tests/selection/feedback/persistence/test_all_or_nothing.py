"""Feedback that can't be counted leaves nothing behind: no mark, no entry, no context less."""

import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from selection.feedback.persistence.journal import FeedbackJournal
from selection.policies import make_policy
from selection.store.redis_keys import STREAM, contexts_key, state_key
from tests.selection.updates import feedback_update

EXP4 = make_policy("exp4", {})
OLD_MS, NOW_MS = 1_600_000_000_000, 1_700_000_000_000


def everything(stream: redis.Redis) -> dict[bytes, bytes | None]:
    return {key: stream.dump(key) for key in stream.scan_iter()}


@pytest.mark.parametrize(
    ("field", "value"),
    [("rew:svm:2", b"short"), ("rew:svm:2", bytes(16)), ("n:svm:2", b"many")],
)
@pytest.mark.parametrize("context", ["", "ann"])
async def test_where_what_is_stored_cant_be_read_it_can_be_sent_again(
    aredis: Redis, stream: redis.Redis, context: str, field: str, value: bytes
) -> None:
    journal = FeedbackJournal(aredis)
    await journal.append([feedback_update(EXP4, {"svm:2": 1.0}, context="bob", at_ms=OLD_MS)])
    await journal.append([feedback_update(EXP4, {"svm:2": 1.0}, context=context, at_ms=NOW_MS)])
    key = state_key(1, context)
    sound = stream.hget(key, field)
    assert sound is not None
    stream.hset(key, field, value)
    stream.zadd(contexts_key(1), {"bob": OLD_MS / 1000})
    before = everything(stream)
    one = feedback_update(EXP4, {"svm:2": 1.0}, context=context, at_ms=NOW_MS)
    with pytest.raises(ResponseError):
        await journal.append([one])
    assert everything(stream) == before
    stream.hset(key, field, sound)
    (left,) = await journal.append([one])
    assert left is not None
    assert stream.xlen(STREAM) == 3


async def test_an_update_that_cant_be_read_leaves_nothing(
    aredis: Redis, stream: redis.Redis
) -> None:
    one = feedback_update(EXP4, {"nameless": 1.0})
    with pytest.raises(ResponseError):
        await FeedbackJournal(aredis).append([one])
    assert everything(stream) == {}
