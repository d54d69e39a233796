"""Moves feedback from the stream into the database: nothing lost, nothing twice.

An entry leaves the stream only after its row is committed, and a row's nonce is unique; so a
consumer may be killed at any point and what it had taken is taken again.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import redis
from django.db import DataError, IntegrityError, transaction

from registry.models import Application
from selection.feedback.events import FeedbackEvent
from selection.models import Feedback
from selection.storage import GROUP, REJECTED_STREAM, STREAM

# What a consumer that hasn't been heard of for so long had taken goes to another.
TAKEN_OVER_AFTER_MS = 60_000
# Entries put aside are for people to look at; beyond so many the oldest go.
REJECTED_KEPT = 100_000

logger = logging.getLogger(__name__)

Entry = tuple[bytes, Mapping[bytes, bytes] | None]


class _Row(NamedTuple):
    """A row to insert and the entry of the stream that it came from."""

    entry: Entry
    feedback: Feedback


def persist_feedback(stream: redis.Redis, *, batch: int = 500, consumer: str | None = None) -> int:
    """Insert one batch and take it off the stream; return how many entries were dealt with.

    Call it until it returns 0. `consumer` must be used by one caller at a time. Errors of Redis
    and of the database come through; the batch is then taken again by the next call.
    """
    _ensure_group(stream)
    entries = _next_entries(stream, batch=batch, consumer=consumer or socket.gethostname())
    rows, rejected = _rows(entries)
    rejected += _insert(rows)
    _take_off(stream, entries=entries, rejected=rejected)
    return len(entries)


def _ensure_group(stream: redis.Redis) -> None:
    try:
        stream.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _next_entries(stream: redis.Redis, *, batch: int, consumer: str) -> list[Entry]:
    """Return what this consumer had taken and not finished, or a dead one had, or new entries."""
    return (
        _read(stream, batch=batch, consumer=consumer, after="0")
        or _taken_over(stream, batch=batch, consumer=consumer)
        or _read(stream, batch=batch, consumer=consumer, after=">")
    )


def _read(stream: redis.Redis, *, batch: int, consumer: str, after: str) -> list[Entry]:
    answer: Any = stream.xreadgroup(GROUP, consumer, {STREAM: after}, count=batch)
    return list(answer[0][1]) if answer else []


def _taken_over(stream: redis.Redis, *, batch: int, consumer: str) -> list[Entry]:
    answer: Any = stream.xautoclaim(
        STREAM, GROUP, consumer, min_idle_time=TAKEN_OVER_AFTER_MS, start_id="0-0", count=batch
    )
    # Redis 6 returns nothing in place of an entry that somebody deleted.
    return [entry for entry in answer[1] if entry[0] is not None]


def _rows(entries: Sequence[Entry]) -> tuple[list[_Row], list[tuple[Entry, str]]]:
    """Return the rows of entries that can be kept, and those that can't be read, each with why."""
    decoder = msgspec.msgpack.Decoder(FeedbackEvent)
    events: list[tuple[Entry, FeedbackEvent]] = []
    rejected: list[tuple[Entry, str]] = []
    for entry in entries:
        try:
            events.append((entry, decoder.decode((entry[1] or {})[b"event"])))
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
            rejected.append((entry, f"unreadable: {error}"))
    existing = set(
        Application.objects.filter(
            pk__in={event.application_id for _, event in events}
        ).values_list("pk", flat=True)
    )
    rows = [_Row(entry, _row(event)) for entry, event in events if event.application_id in existing]
    if len(rows) < len(events):
        logger.warning("feedback of deleted applications dropped count=%d", len(events) - len(rows))
    return rows, rejected


def _row(event: FeedbackEvent) -> Feedback:
    return Feedback(
        application_id=event.application_id,
        context=event.context,
        nonce=event.nonce,
        kind=event.kind,
        issued_at=_moment(event.issued_at_ms),
        received_at=_moment(event.received_at_ms),
        label=event.label or "",
        reward=event.reward,
        arms=[
            {"arm": a.arm, "propensity": a.propensity, "output": a.output, "loss": a.loss}
            for a in event.arms
        ],
        forced=event.forced,
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _insert(rows: Sequence[_Row]) -> list[tuple[Entry, str]]:
    """Insert the rows that aren't there yet; return those that the database refuses, with why."""
    if not rows:
        return []
    try:
        with transaction.atomic():
            Feedback.objects.bulk_create((row.feedback for row in rows), ignore_conflicts=True)
    except (IntegrityError, DataError, ValueError) as error:
        if len(rows) == 1:
            return [(rows[0].entry, f"refused by the database: {error}")]
        # One of them is to blame: halve until it stands alone.
        middle = len(rows) // 2
        return _insert(rows[:middle]) + _insert(rows[middle:])
    return []


def _take_off(
    stream: redis.Redis, *, entries: Sequence[Entry], rejected: Sequence[tuple[Entry, str]]
) -> None:
    if not entries:
        return
    ids = [entry_id for entry_id, _ in entries]
    with stream.pipeline(transaction=True) as pipe:
        for (entry_id, fields), why in rejected:
            logger.error("feedback entry put aside id=%s: %s", entry_id.decode(), why)
            aside: dict[Any, Any] = {**(fields or {}), b"entry": entry_id, b"why": why.encode()}
            pipe.xadd(REJECTED_STREAM, aside, maxlen=REJECTED_KEPT, approximate=True)
        pipe.xack(STREAM, GROUP, *ids)
        pipe.xdel(STREAM, *ids)
        pipe.execute()
