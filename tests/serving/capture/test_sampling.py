"""Drawn queries leave their process in bulk: redacted, bounded, and each that is lost counted."""

from typing import Any

import msgspec
import pytest
import redis

from serving.capture.sampling import (
    ENTRIES,
    ROW_BYTES,
    STREAM,
    WAITING_ROWS,
    CapturedQuery,
)
from serving.engine.outcome import Outcome, Status
from serving.testing import application_spec
from tests.serving.capture.conftest import Capturing

INPUT = '{"name": "Ann Lee", "more": [{"age": 31, "name": "Ben"}], "\\u006eame": "Cy"}'


def written(stream: redis.Redis) -> list[CapturedQuery]:
    entries: Any = stream.xrange(STREAM)
    return [
        row
        for _, fields in entries
        for row in msgspec.msgpack.decode(fields[b"rows"], type=list[CapturedQuery])
    ]


async def test_a_row_says_what_each_version_answered_or_why_not(
    capturing: Capturing, stream: redis.Redis
) -> None:
    ends = [
        ("a:1", Outcome(Status.OK, b"7")),
        ("b:1", None),
        ("c:1", Outcome(Status.MODEL_FAILED, b"ValueError: secret")),
    ]
    capturing.offer("[1]", ends=ends)
    await capturing.queries.flush()
    (row,) = written(stream)
    assert (row.input, row.outputs) == (b"[1]", {"a:1": b"7"})
    assert row.missing == {"b:1": "late", "c:1": "failed"}
    assert (row.chance, row.context, row.latency_ms) == (0.5, "anna", 2.5)


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("name", {"name": None, "more": [{"age": 31, "name": None}]}),
        ("age , other", {"name": "Cy", "more": [{"age": None, "name": "Ben"}]}),
        ("*", None),
    ],
)
async def test_redacted_columns_are_nowhere_in_redis(
    capturing: Capturing, stream: redis.Redis, setting: str, left: object
) -> None:
    application = application_spec(capture_rate=1.0, capture_redact=setting)
    output = b'{"name": "Ann Lee"}'
    ends = [("m1:1", Outcome(Status.OK, output))]
    capturing.offer(INPUT, application=application, ends=ends, output=output)
    await capturing.queries.flush()
    (row,) = written(stream)
    assert msgspec.json.decode(row.input) == left
    if setting == "name":
        entries: Any = stream.xrange(STREAM)
        assert b"Ann" not in entries[0][1][b"rows"]


async def test_an_input_that_cannot_be_redacted_is_lost(
    capturing: Capturing, stream: redis.Redis
) -> None:
    application = application_spec(capture_rate=1.0, capture_redact="name")
    capturing.offer('{"name": ', "[1e999]", "[" * 10_000, '{"a": 1}', application=application)
    await capturing.queries.flush()
    assert [row.input for row in written(stream)] == [b'{"a":1}']
    assert len(capturing.dropped) == 3


async def test_what_waits_is_bounded_in_rows_and_bytes(capturing: Capturing) -> None:
    capturing.offer(*["[1]"] * (WAITING_ROWS + 3))
    assert len(capturing.dropped) == 3
    await capturing.queries.flush()
    capturing.offer("x" * ROW_BYTES)
    assert len(capturing.dropped) == 4
    capturing.offer(*["x" * (ROW_BYTES - 2000)] * 100)
    assert 30 < len(capturing.dropped) - 4 < 60


async def test_nothing_is_written_while_redis_is_full_or_nobody_reads(
    capturing: Capturing, stream: redis.Redis
) -> None:
    capturing.queries.paused = True
    capturing.offer("[1]")
    await capturing.queries.flush()
    assert (written(stream), len(capturing.dropped)) == ([], 1)
    capturing.queries.paused = False
    for _ in range(ENTRIES + 2):
        capturing.offer("[1]")
        await capturing.queries.flush()
    assert (len(written(stream)), len(capturing.dropped)) == (ENTRIES, 3)


async def test_rows_that_redis_does_not_take_are_counted(
    capturing: Capturing, stream: redis.Redis
) -> None:
    stream.set(STREAM, "no stream")
    capturing.offer("[1]", "[2]")
    with pytest.raises(redis.ResponseError):
        await capturing.queries.flush()
    assert len(capturing.dropped) == 2
