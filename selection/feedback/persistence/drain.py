"""Moves feedback from the stream into the database: nothing lost, nothing twice.

An entry leaves the stream only after its row is committed, and a row's nonce is unique.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import redis
from django.db import DataError, IntegrityError, transaction
from redis.exceptions import LockError
from redis.lock import Lock

from core.loop.backoff import Backoff
from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from registry.models import Application
from selection.feedback.events import ArmOutcome, FeedbackEvent
from selection.feedback.persistence.insertion import Values, insert
from selection.feedback.persistence.stream import CountedEntry, StreamEntry, read_entry
from selection.models import Feedback, StateReset
from selection.store.redis_keys import GROUP, PERSIST_LOCK, REJECTED_STREAM, STREAM

# Entries of a consumer that is silent for so long go to another.
TAKEN_OVER_AFTER_MS = 60_000
# Entries of one batch; fewer were all that waited.
BATCH = 500
# Rows in one transaction: so many keep a core for 5 ms, and half as many cost a tenth more each.
INSERTED_AT_ONCE = 100
logger = logging.getLogger(__name__)


class _Row(NamedTuple):
    """A row to insert and the entry of the stream that it came from."""

    entry: StreamEntry
    model: type[Feedback | StateReset]
    values: Values


def persist_feedback(
    stream: redis.Redis,
    *,
    batch: int = BATCH,
    consumer: str | None = None,
    pause: Callable[[], None] = lambda: None,
) -> int:
    """Insert one batch and take it off the stream; return how many entries were dealt with."""
    try:
        stream.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    entries = _next_entries(stream, batch=batch, consumer=consumer or socket.gethostname())
    there: dict[int, bool] = {}
    rejected: list[tuple[StreamEntry, str]] = []
    for first in range(0, len(entries), INSERTED_AT_ONCE):
        pause()
        rows, unreadable = _rows(entries[first : first + INSERTED_AT_ONCE], there=there)
        rejected += unreadable + _insert(rows)
    pause()
    _take_off(stream, entries=entries, rejected=rejected)
    return len(entries)


def _next_entries(stream: redis.Redis, *, batch: int, consumer: str) -> list[StreamEntry]:
    """Return what this consumer had taken and not finished, or a dead one had, or new entries."""

    def read(after: str) -> list[StreamEntry]:
        answer: Any = stream.xreadgroup(GROUP, consumer, {STREAM: after}, count=batch)
        return list(answer[0][1]) if answer else []

    if own := read("0"):
        return own
    answer: Any = stream.xautoclaim(
        STREAM, GROUP, consumer, min_idle_time=TAKEN_OVER_AFTER_MS, start_id="0-0", count=batch
    )
    # Redis 6 returns nothing in place of an entry that somebody deleted.
    return [entry for entry in answer[1] if entry[0] is not None] or read(">")


def _rows(
    entries: Sequence[StreamEntry], *, there: dict[int, bool]
) -> tuple[list[_Row], list[tuple[StreamEntry, str]]]:
    """Return the rows of entries that can be kept, and those that can't be read, each with why."""
    read: list[tuple[StreamEntry, CountedEntry]] = []
    rejected: list[tuple[StreamEntry, str]] = []
    for entry in entries:
        try:
            read.append((entry, read_entry(entry)))
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
            rejected.append((entry, f"unreadable: {error}"))
    if new := {counted.event.application_id for _, counted in read} - there.keys():
        found = Application.objects.filter(pk__in=new).values_list("pk", flat=True)
        there |= dict.fromkeys(new, False) | dict.fromkeys(found, True)
    rows = [_row(*each) for each in read if there[each[1].event.application_id]]
    if len(rows) < len(read):
        logger.warning("feedback of deleted applications dropped count=%d", len(read) - len(rows))
    return rows, rejected


def _row(entry: StreamEntry, counted: CountedEntry) -> _Row:
    event = counted.event
    if isinstance(event, FeedbackEvent):
        values = feedback_values(event, position=counted.position, gone=counted.gone)
        return _Row(entry, Feedback, values)
    reset = {
        "application_id": event.application_id,
        "everywhere": event.context is None,
        "context": event.context or "",
        "position": counted.position,
        "at": event.at_ms,
        "by": event.by,
    }
    return _Row(entry, StateReset, reset)


def feedback_values(event: FeedbackEvent, *, position: int, gone: Sequence[str]) -> Values:
    """Return the row, by field, that says all that the event says."""
    return {
        **msgspec.structs.asdict(event),
        "issued_at": event.issued_at_ms,
        "received_at": event.received_at_ms,
        "label": event.label or "",
        "arms": [_arm(outcome) for outcome in event.arms],
        "position": position,
        "gone": gone,
    }


def _arm(outcome: ArmOutcome) -> dict[str, object]:
    values: dict[str, object] = msgspec.structs.asdict(outcome)
    if not (outcome.lateness or outcome.cost):
        del values["lateness"], values["cost"]
    return values


def _insert(rows: Sequence[_Row]) -> list[tuple[StreamEntry, str]]:
    """Insert the rows that aren't there yet; return those that the database refuses, with why."""
    if not rows:
        return []
    try:
        with transaction.atomic():
            for model in (Feedback, StateReset):
                insert(model, [row.values for row in rows if row.model is model])
    except (IntegrityError, DataError, ValueError) as error:
        if len(rows) == 1:
            if not Application.objects.filter(pk=rows[0].values["application_id"]).exists():
                logger.warning("feedback of deleted applications dropped count=1")
                return []
            return [(rows[0].entry, f"refused by the database: {error}")]
        # One of them is to blame: halve until it stands alone.
        middle = len(rows) // 2
        return _insert(rows[:middle]) + _insert(rows[middle:])
    return []


def _take_off(
    stream: redis.Redis,
    *,
    entries: Sequence[StreamEntry],
    rejected: Sequence[tuple[StreamEntry, str]],
) -> None:
    if not entries:
        return
    ids = [entry_id for entry_id, _ in entries]
    with stream.pipeline(transaction=True) as pipe:
        for (entry_id, fields), why in rejected:
            logger.error("feedback entry put aside id=%s: %s", entry_id.decode(), why)
            aside: dict[Any, Any] = {**(fields or {}), b"entry": entry_id, b"why": why.encode()}
            # Entries put aside are for people to look at; beyond so many the oldest go.
            pipe.xadd(REJECTED_STREAM, aside, maxlen=100_000, approximate=True)
        pipe.xack(STREAM, GROUP, *ids)
        pipe.xdel(STREAM, *ids)
        pipe.execute()


def drain_feedback() -> int:
    """Move what waits in the stream into the database; return how many entries that was."""
    # A drain that dies holding the lock delays the next one by so long. A batch that takes longer
    # ends the drain; were another one begun meanwhile, a row that both insert would still be one.
    with exclusively(PERSIST_LOCK, ttl_s=5.0) as lock:
        if lock is None:
            logger.info("feedback is being persisted elsewhere")
            return 0
        moved = _drain(redis_client(), lock=lock)
    if moved:
        logger.info("feedback persisted entries=%d", moved)
    return moved


def _drain(stream: redis.Redis, *, lock: Lock) -> int:
    """Move batch after batch while they are full and the lock is ours.

    Others wait for the lock too: while feedback keeps coming, the next run takes what is new.
    """
    moved = 0
    # After each piece, while others want the cores; a second's feedback is moved well within one.
    give_way = Backoff()
    for _ in range(200):
        count = persist_feedback(stream, pause=give_way)
        moved += count
        if count < BATCH:
            break
        try:
            lock.reacquire()
        except LockError:
            break  # a batch took longer than the lock, which says so itself when it is let go
    return moved
