"""Moves captured queries from Redis into the database, and keeps each application's bounds."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from msgspec import Raw

from core.errors import InvalidReceipt, Unavailable
from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from registry.models import Application
from registry.models.application import Combine
from selection.feedback.persistence.insertion import Values, insert
from selection.receipts import nonce_of
from serving.capture.models import CapturedBody, CapturedInput
from serving.capture.problem import noting_problem
from serving.capture.sampling import ENTRIES, STREAM, UNREADABLE, CapturedQuery
from serving.capture.segments import leaving

LOCK = "clipper:lock:captured"
# A longer answer isn't compared with labels.
ANSWER_CHARACTERS = 256
# What a row takes besides its body: its other columns, and its places in the indexes.
ROW_BYTES = 500
_decode = msgspec.msgpack.Decoder(list[CapturedQuery]).decode

logger = logging.getLogger(__name__)


def drain_captured(*, wait_s: float = 0.0) -> int:
    """Move what waits in Redis; return how many rows were kept. An entry leaves Redis after.

    Raises Unavailable if another moves them for the whole of `wait_s`.
    """
    with exclusively(LOCK, ttl_s=30.0, wait_s=wait_s) as lock:
        if lock is None and wait_s:
            raise Unavailable("Captured queries are still being moved: try again in a minute.")
        with noting_problem("Redis to database"):
            entries: Any = [] if lock is None else redis_client().xrange(STREAM, count=ENTRIES)
            kept = 0
            for entry_id, fields in entries:
                kept += _keep(list(_readable(entry_id.decode(), fields)))
                redis_client().xdel(STREAM, entry_id)
    return kept


def prune_captured() -> int:
    """Delete what applications keep no longer, but of sets; return how many rows there were."""
    gone = 0
    for application in Application.objects.filter(captured__isnull=False).distinct():
        rows = CapturedInput.objects.filter(application=application, set_name="")
        before = timezone.now() - timedelta(days=application.capture_days)
        gone += leaving(rows, due=rows.filter(at__lt=before)).delete()[0]
        over = (rows.aggregate(total=Sum("size"))["total"] or 0) - application.capture_bytes
        gone += _delete_oldest(rows, over)
    return gone


def _readable(entry_id: str, fields: Any) -> Iterator[Values]:
    """Return the rows of an entry, but those whose JSON can't be read or application is gone."""
    try:
        queries = _decode(fields[b"rows"])
    except (KeyError, *UNREADABLE) as error:
        logger.warning("captured queries can't be read entry=%s: %s", entry_id, error)
        return
    combines = dict(
        Application.objects.filter(pk__in={query.application_id for query in queries}).values_list(
            "pk", "combine"
        )
    )
    for number, query in enumerate(queries):
        if query.application_id in combines:
            try:
                combine = combines[query.application_id]
                yield {"uid": f"{entry_id}:{number}", **_values(query, combine=combine)}
            except (*UNREADABLE, InvalidReceipt) as error:
                logger.warning("a captured query can't be read entry=%s: %s", entry_id, error)


def _values(query: CapturedQuery, *, combine: str) -> dict[str, Any]:
    msgspec.json.decode(query.input)
    values = [msgspec.json.decode(output) for output in query.outputs.values()]
    body = CapturedBody(
        input=Raw(query.input),
        output=Raw(query.output or b"null"),
        outputs={arm: Raw(output) for arm, output in query.outputs.items()},
        missing=query.missing,
    ).packed()
    answer = query.output.decode()
    ends = query.missing.values()
    return {
        "application_id": query.application_id,
        "at": query.at_ms,
        "query_id": query.query_id,
        "nonce": nonce_of(query.query_id) if query.query_id else "",
        "context": query.context,
        "key": query.key,
        "chance": query.chance,
        "confidence": query.confidence,
        "cause": query.cause,
        "latency_ms": query.latency_ms,
        "disagreed": are_unlike(values, combine=combine),
        "late": "late" in ends,
        "failed": "failed" in ends or "refused" in ends,
        "answer": answer if len(answer) <= ANSWER_CHARACTERS else "",
        "body": body,
        "segment_id": None,
        "size": len(body) + len(query.query_id) + ROW_BYTES,
        "label": "",
        "reviewed_by": "",
        "reviewed_at": None,
        "set_name": "",
    }


def are_unlike(outputs: list[Any], *, combine: str) -> bool:
    """Return whether answers differ; numbers that are averaged, by more than a tenth."""
    if combine in (Combine.MEAN, Combine.MEDIAN):
        numbers = [each for each in outputs if isinstance(each, int | float)]
        if numbers:
            return max(numbers) - min(numbers) > 0.1 * max(map(abs, numbers))
    return any(each != outputs[0] for each in outputs[1:])


def _keep(rows: list[Values]) -> int:
    """Insert rows, one by one if the database refuses them together; return how many it took.

    Raises OperationalError if it can take none now: they wait where they are.
    """
    try:
        with transaction.atomic():
            insert(CapturedInput, rows)
        return len(rows)
    except OperationalError:
        raise
    except (DatabaseError, ValueError) as error:
        if len(rows) > 1:
            return sum(_keep([row]) for row in rows)
        logger.warning("a captured query can't be kept uid=%s: %s", rows[0]["uid"], error)
        return 0


def _delete_oldest(rows: QuerySet[CapturedInput], excess: int) -> int:
    """Delete the oldest rows that take this many bytes together, and the rest of their files."""
    oldest = []
    for number, size in rows.order_by("at", "pk").values_list("pk", "size").iterator():
        if excess <= 0:
            break
        excess -= size
        oldest.append(number)
    return sum(
        leaving(rows, due=rows.filter(pk__in=oldest[first : first + 500])).delete()[0]
        for first in range(0, len(oldest), 500)
    )
