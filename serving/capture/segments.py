"""Segments: bodies of captured rows in compressed JSON Lines among the artifacts.

A segment's index row is written first, then its file, then one transaction gives it its rows: so
whatever dies between, each file has an index row, and each line a row or its file is written anew.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone
from redis.lock import Lock

from core.errors import Conflict, NotFound
from core.redis.locks import exclusively
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.disk_space import need_room
from registry.artifacts.fetching import artifact_bytes
from serving.capture.models import CapturedBody, CapturedInput, CapturedSegment
from serving.capture.problem import noting_problem
from serving.capture.sampling import UNREADABLE

LOCK, LOCK_S = "clipper:lock:segments", 60.0
MOST_ROWS, MOST_BYTES, LEVEL = 500, 4 << 20, 3
# Fewer rows stay in the database, and these for so long, as more may come.
FEWEST_ROWS, WAIT = 50, timedelta(minutes=10)
# A segment's rows leave together: it spans at most this part of the time they are kept.
SPAN = 10


class SegmentUnreadable(Exception):
    """A captured row has no body left: its file is missing or damaged."""


def body_of(row: CapturedInput) -> CapturedBody:
    """Return a row's body. Raises SegmentUnreadable, Unavailable, zlib.error, DecodeError."""
    try:
        text = _text_of(row)
    except SegmentUnreadable:
        # It may have got into a segment, or another one, since the row was read.
        moved = CapturedInput.objects.filter(pk=row.pk).exclude(segment=row.segment_id).first()
        if moved is None:
            raise
        text = _text_of(moved)
    return msgspec.json.decode(text, type=CapturedBody)


def _text_of(row: CapturedInput) -> bytes:
    if row.segment_id is None and row.body:
        return zlib.decompress(row.body)
    found = {} if row.segment_id is None else _lines_of(row.segment_id)
    if row.uid not in found:
        raise SegmentUnreadable("its file was missing or damaged, and is given up.")
    return found[row.uid]


# Neighbours in time are in one: rows are read in their order.
@lru_cache(maxsize=4)
def _lines_of(segment_id: int) -> dict[str, bytes]:
    """Return a segment's lines by the rows' uid. Raises SegmentUnreadable, Unavailable."""
    digest = CapturedSegment.objects.values_list("digest", flat=True).filter(pk=segment_id).first()
    if digest is None:
        raise SegmentUnreadable("it was erased.")
    try:
        content = artifact_bytes(digest)
    except NotFound as error:
        raise SegmentUnreadable(f"its file is missing (artifact {digest[:12]}).") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise SegmentUnreadable(f"its file is damaged (artifact {digest[:12]}).")
    lines = gzip.decompress(content).splitlines()
    return {line.split(b'"', 4)[3].decode(): line for line in lines}


def keep_in_files() -> int:
    """Bring files and rows in line, and write what is ripe; return how many rows were.

    Raises Unavailable, InsufficientStorage: rows stay in the database meanwhile.
    """
    if ArtifactStore.default().folder is not None and settings.CLIPPER_ARTIFACTS_URL:
        return 0  # the artifacts are on another host, whose console does it
    with exclusively(LOCK, ttl_s=LOCK_S) as lock, noting_problem("Database to files"):
        if lock is None:
            return 0
        tidy(lock)
        waiting = CapturedInput.objects.filter(segment=None).exclude(body=b"").defer("body")
        ordered = waiting.select_related("application").order_by("application", "set_name", "pk")
        written = 0
        for group in list(ripe(ordered.iterator(), now=timezone.now())):
            lock.reacquire()
            written += _pack(group)
        return written


def ripe(rows: Iterable[CapturedInput], *, now: datetime) -> Iterator[list[int]]:
    """Yield the ids of rows to write as one file: many, or some that have waited."""
    for _, same in groupby(rows, key=lambda row: (row.application_id, row.set_name)):
        group: list[CapturedInput] = []
        for row in same:
            span = timedelta(days=row.application.capture_days) / SPAN
            if len(group) == MOST_ROWS or (group and row.at - group[0].at > span):
                if len(group) >= FEWEST_ROWS:
                    yield [each.pk for each in group]
                group = []
            group.append(row)
        waited = now - group[0].at > WAIT
        if len(group) == MOST_ROWS or (len(group) >= FEWEST_ROWS and waited):
            yield [each.pk for each in group]


def tidy(lock: Lock) -> None:
    """Write segments anew that have lines without a row, and remove those without any.

    Under the lock: one that has no rows yet was left by a kill. Raises as `keep_in_files` does.
    """
    counted = CapturedSegment.objects.annotate(left=Count("captured"))
    for segment in counted.filter(Q(left__lt=F("rows")) | Q(rows__lte=0)).order_by("left"):
        lock.reacquire()
        if segment.left:
            _write_anew(segment)
        mine = CapturedSegment.objects.filter(pk=segment.pk)
        mine.update(rows=CapturedSegment.GONE)
        ArtifactStore.default().remove(segment.digest)
        mine.delete()


def leaving(
    rows: QuerySet[CapturedInput], *, due: QuerySet[CapturedInput]
) -> QuerySet[CapturedInput]:
    """Return the rows that are due, and those that share a segment with one."""
    segments = due.exclude(segment=None).values("segment")
    return rows.filter(Q(pk__in=due.values("pk")) | Q(segment__in=segments))


def _pack(numbers: list[int]) -> int:
    """Write the first of these rows, as many as a file takes; return how many."""
    rows, lines, size = CapturedInput.objects.filter(segment=None), dict[str, bytes](), 0
    for row in rows.filter(pk__in=numbers).order_by("pk").iterator(chunk_size=50):
        try:
            body = msgspec.json.encode(body_of(row))
        except (SegmentUnreadable, zlib.error, *UNREADABLE):
            rows.filter(pk=row.pk).update(body=b"")  # it has none to lose
            continue
        # A line break in JSON that is no escape stands between its parts.
        line = body[1:].replace(b"\n", b" ").replace(b"\r", b" ")
        lines[row.uid] = b'{"uid":"%s",' % row.uid.encode() + line
        size += len(line)
        if size > MOST_BYTES:
            break
    _store(lines, rows=rows)
    return len(lines)


def _write_anew(segment: CapturedSegment) -> None:
    """Write what a segment holds of its rows into another; give rows up that it has lost."""
    uids = set(segment.captured.values_list("uid", flat=True))
    with suppress(SegmentUnreadable):
        lines = _lines_of.__wrapped__(segment.pk)
        _store({uid: lines[uid] for uid in uids & lines.keys()}, rows=segment.captured.all())
    segment.captured.update(segment=None)


def _store(lines: dict[str, bytes], *, rows: QuerySet[CapturedInput]) -> None:
    """Write these lines as a segment of those rows. Raises Unavailable, InsufficientStorage."""
    if not lines:
        return
    content = gzip.compress(b"\n".join(lines.values()) + b"\n", LEVEL, mtime=0)
    digest = hashlib.sha256(content).hexdigest()
    need_room(len(content))
    segment = CapturedSegment.objects.create(digest=digest, size=len(content))
    ArtifactStore.default().put(content)
    with transaction.atomic():
        own = CapturedSegment.objects.filter(pk=segment.pk, rows=CapturedSegment.WRITING)
        if not own.update(rows=len(lines)):
            raise Conflict(f"The segment {digest} was taken for abandoned while it was written.")
        rows.filter(uid__in=lines).update(segment=segment, body=b"")
