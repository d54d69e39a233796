"""Captured queries get into the database, whatever one of them holds, and stay within bounds."""

import random
from datetime import timedelta
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.db import OperationalError, connection
from django.utils import timezone

from registry.models import Application
from selection.receipts import nonce_of
from serving.capture.drain import are_unlike, drain_captured, prune_captured
from serving.capture.models import CapturedInput
from serving.capture.problem import problem_now
from serving.capture.sampling import STREAM
from serving.capture.segments import body_of
from serving.engine.outcome import Outcome, Status
from serving.testing import application_spec
from tests.serving.capture.conftest import Capturing, token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("server_redis")]


@pytest.fixture
def digits() -> Application:
    return Application.objects.create(name="digits", input_type="doubles", pk=1)


def write(redis_socket: str, *inputs: str, **changes: Any) -> None:
    """Have one process hand these inputs to Redis."""

    @async_to_sync
    async def offered() -> None:
        async with redis.asyncio.Redis(unix_socket_path=redis_socket) as client:
            capturing = Capturing(client)
            capturing.offer(*inputs, **changes)
            await capturing.queries.flush()

    offered()


def capture(redis_socket: str, *inputs: str, **changes: Any) -> int:
    """Have control move them too; return how many it kept."""
    write(redis_socket, *inputs, **changes)
    return drain_captured()


def test_a_row_holds_what_the_query_was_and_leaves_redis(
    digits: Application, server_redis: redis.Redis, redis_socket: str
) -> None:
    ends = [("a:1", Outcome(Status.OK, b"7")), ("b:1", Outcome(Status.OK, b"8")), ("c:1", None)]
    assert capture(redis_socket, "[1, 2]", ends=ends) == 1
    row = CapturedInput.objects.get()
    body = body_of(row)
    assert (bytes(body.input), bytes(body.output)) == (b"[1, 2]", b"7")
    assert body.missing == {"c:1": "late"}
    assert (row.disagreed, row.late, row.failed, row.answer) == (True, True, False, "7")
    assert row.nonce == nonce_of(token(0)) == (b"%012d" % 0).hex()
    assert server_redis.xlen(STREAM) == 0


def test_bad_rows_do_not_stop_others(digits: Application, redis_socket: str) -> None:
    kept = capture(redis_socket, "[1]", "[1e999]", "\x00", "[" * 3000, '"\\u0000"', "[2]")
    assert kept == 3
    inputs = {bytes(body_of(row).input) for row in CapturedInput.objects.all()}
    assert inputs == {b"[1]", b'"\\u0000"', b"[2]"}
    assert capture(redis_socket, "[3]", context="a\x00b") <= 1
    assert capture(redis_socket, "[4]") == 1


def test_rows_of_an_application_that_is_gone_are_dropped(
    digits: Application, redis_socket: str
) -> None:
    other = application_spec(id=2, capture_rate=1.0)
    assert capture(redis_socket, "[1]", application=other) == 0


def test_an_entry_that_is_moved_twice_is_kept_once(
    digits: Application, server_redis: redis.Redis, redis_socket: str
) -> None:
    write(redis_socket, "[1]")
    entries: Any = server_redis.xrange(STREAM)
    [(entry, fields)] = entries
    drain_captured()
    server_redis.delete(STREAM)
    server_redis.xadd(STREAM, fields, id=entry)
    drain_captured()
    assert CapturedInput.objects.count() == 1


def test_the_oldest_rows_give_way(digits: Application, redis_socket: str) -> None:
    capture(redis_socket, *[f"[{number}]" for number in range(10)])
    size = CapturedInput.objects.first().size
    Application.objects.update(capture_bytes=size * 6)
    newest = list(CapturedInput.objects.order_by("-at", "-pk").values_list("pk", flat=True)[:6])
    assert prune_captured() == 4
    left = CapturedInput.objects.all()
    assert [row.pk for row in left] == newest
    old = timezone.now() - timedelta(days=8)
    CapturedInput.objects.filter(pk__in=newest[4:]).update(at=old)
    assert prune_captured() == 2


@pytest.mark.parametrize(
    ("outputs", "combine", "unlike"),
    [
        ([7, 7], "vote", False),
        ([7, 8], "vote", True),
        (["a", "b"], "vote", True),
        ([100.0, 104.0], "mean", False),
        ([100.0, 120.0], "median", True),
        ([], "mean", False),
        ([None, 3], "mean", False),
    ],
)
def test_answers_that_are_averaged_differ_by_a_tenth(
    outputs: list[Any], combine: str, unlike: bool
) -> None:
    assert are_unlike(outputs, combine=combine) is unlike


def fill(redis_socket: str) -> None:
    """Write what doesn't compress, far more than the pages that earlier tests have freed."""
    for _ in range(400):
        drain_captured()
        write(redis_socket, f"[{','.join(map(str, random.sample(range(10**9), 6000)))}]", "[2]")


def test_rows_wait_while_the_database_takes_none_and_the_reason_is_shown(
    digits: Application, server_redis: redis.Redis, redis_socket: str
) -> None:
    write(redis_socket, "[1]", "[2]")
    with connection.cursor() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages}")  # as on a disk that is full
    try:
        with pytest.raises(OperationalError, match="full"):
            fill(redis_socket)
        assert "full" in problem_now()
        waiting = server_redis.xlen(STREAM)
        assert waiting
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1073741823")
    kept = CapturedInput.objects.count()
    assert drain_captured() == CapturedInput.objects.count() - kept > 0
    assert server_redis.xlen(STREAM) == 0
