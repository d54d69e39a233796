"""Moves captured queries from Redis into the database, and keeps each application's bounds."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
from django.db import DatabaseError, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from msgspec import Raw

from core.errors import InvalidReceipt
from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from registry.models import Application
from registry.models.application import Combine
from selection.feedback.persistence.insertion import Values, insert
from selection.receipts import nonce_of
from serving.capture.models import CapturedBody, CapturedInput
from serving.capture.sampling import STREAM, UNREADABLE, CapturedQuery

LOCK = "clipper:lock:captured"
# A longer answer isn't compared with labels.
ANSWER_CHARACTERS = 256
# What a row takes besides its body: its other columns, and its places in the indexes.
ROW_BYTES = 500
_decode = msgspec.msgpack.Decoder(list[CapturedQuery]).decode

logger = logging.getLogger(__name__)


def drain_captured() -> int:
    """Move what waits in Redis; return how many rows were kept. An entry leaves Redis after."""
    with exclusively(LOCK, ttl_s=30.0) as lock:
        entries: Any = [] if lock is None else redis_client().xrange(STREAM, count=8)
        kept = 0
        for entry_id, fields in entries:
            kept += _keep(list(_readable(entry_id.decode(), fields)))
            redis_client().xdel(STREAM, entry_id)
    return kept


def prune_captured() -> int:
    """Delete what applications keep no longer; return how many rows there were."""
    gone = 0
    for application in Application.objects.filter(captured__isnull=False).distinct():
        rows = CapturedInput.objects.filter(application=application)
        before = timezone.now() - timedelta(days=application.capture_days)
        gone += rows.filter(at__lt=before).delete()[0]
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
        "chance": query.chance,
        "confidence": query.confidence,
        "cause": query.cause,
        "latency_ms": query.latency_ms,
        "disagreed": are_unlike(values, combine=combine),
        "late": "late" in ends,
        "failed": "failed" in ends or "refused" in ends,
        "answer": answer if len(answer) <= ANSWER_CHARACTERS else "",
        "body": body,
        "size": len(body) + len(query.query_id) + ROW_BYTES,
        "label": "",
        "reviewed_by": "",
        "reviewed_at": None,
    }


def are_unlike(outputs: list[Any], *, combine: str) -> bool:
    """Return whether answers differ; numbers that are averaged, by more than a tenth."""
    if combine in (Combine.MEAN, Combine.MEDIAN):
        numbers = [each for each in outputs if isinstance(each, int | float)]
        if numbers:
            return max(numbers) - min(numbers) > 0.1 * max(map(abs, numbers))
    return any(each != outputs[0] for each in outputs[1:])


def _keep(rows: list[Values]) -> int:
    """Insert rows, one by one if the database refuses them together; return how many it took."""
    try:
        with transaction.atomic():
            insert(CapturedInput, rows)
        return len(rows)
    except (DatabaseError, ValueError) as error:
        if len(rows) > 1:
            return sum(_keep([row]) for row in rows)
        logger.warning("a captured query can't be kept uid=%s: %s", rows[0]["uid"], error)
        return 0


def _delete_oldest(rows: QuerySet[CapturedInput], excess: int) -> int:
    """Delete the oldest rows that take this many bytes together."""
    oldest = []
    for number, size in rows.order_by("at", "pk").values_list("pk", "size").iterator():
        if excess <= 0:
            break
        excess -= size
        oldest.append(number)
    for first in range(0, len(oldest), 500):
        rows.filter(pk__in=oldest[first : first + 500]).delete()
    return len(oldest)
