"""Merges what processes publish of their queries into rows, and the rows as they grow old.

The counts of processes only grow. What of them is in the rows already is kept in the transaction
that writes the rows, so that each query is counted once, whatever is restarted.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, cast

import msgspec
from django.db import transaction
from django.utils import timezone

from core.counters import growth, went_back
from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from registry.models import Application
from serving.metrics.outcomes import LENGTH
from serving.metrics.published import KEY_PREFIX, TRAFFIC
from serving.traffic.models import TrafficReading, TrafficRow
from serving.traffic.outcome_counts import OUTCOMES, OutcomeCounts

LOCK, THINNING_LOCK = "clipper:lock:traffic", "clipper:lock:traffic-thinning"
STEP_S = 10
# Rows older than the second are merged into one for each so many seconds.
RULES = ((60, timedelta(hours=1)), (600, timedelta(days=1)), (3600, timedelta(days=30)))
KEPT = timedelta(days=90)
# A process that is only slow to publish would otherwise be counted from its start again.
READINGS_KEPT = timedelta(days=7)
# A process that is killed leaves a gap in what it counted so lately.
RECENT = timedelta(seconds=15)

Document = Mapping[str, Any]
Vectors = Mapping[str, Sequence[int]]


def merge_traffic() -> int:
    """Merge what has been published since the last time; return how many rows have changed."""
    with exclusively(LOCK, ttl_s=60.0) as lock:
        if lock is None:
            return 0
        client = redis_client()
        # Its last counts are published before a process goes: what is gone now has told all.
        documents = [msgspec.json.decode(text) for text in TRAFFIC.read(client)]
        gone = {d["id"] for d in documents if d["left"] or not client.exists(KEY_PREFIX + d["id"])}
        if gone:
            documents = [msgspec.json.decode(text) for text in TRAFFIC.read(client)]
        changed = merge(documents, gone=gone, now=timezone.now())
        with client.pipeline(transaction=True) as pipe:
            for process_id in gone:
                TRAFFIC.remove(pipe, process_id)
            TRAFFIC.forget_gone(pipe)
            pipe.execute()
        return changed


@transaction.atomic
def merge(documents: Sequence[Document], *, now: datetime, gone: Collection[str] = ()) -> int:
    """Add what these documents have grown by to the rows of this step; return how many."""
    names = {name for document in documents for name in document["applications"]}
    # Nobody else merges, and none of them goes, until this is committed.
    found = Application.objects.select_for_update(no_key=True).filter(name__in=names)
    applications = {application.name: application.pk for application in found.order_by("pk")}
    known = {
        (reading.process, reading.application_id): reading
        for reading in TrafficReading.objects.filter(process__in=[d["id"] for d in documents])
    }
    grown: defaultdict[int, dict[str, OutcomeCounts]] = defaultdict(dict)
    gaps: defaultdict[int, int] = defaultdict(int)
    kept: list[TrafficReading] = []
    for document, name, vectors in _parts(documents):
        if (application_id := applications.get(name)) is None:
            continue
        process, number = document["id"], document["number"]
        reading = known.get((process, application_id))
        before = reading.counts if reading else {}
        is_new = reading is None or reading.number < number
        # An arm that is no longer counted would begin at 0 if it came back.
        if is_new and ((added := _growth(before, vectors)) or before.keys() - vectors.keys()):
            for arm, counts in added.items():
                grown[application_id].setdefault(arm, OutcomeCounts()).add_grown(counts)
            reading = TrafficReading(application_id=application_id, process=process, number=number)
            reading.counts, reading.grew_at = vectors, now
            kept.append(reading)
        killed = process in gone and not document["left"]
        if killed and reading is not None and reading.grew_at > now - RECENT:
            gaps[application_id] += 1
    TrafficReading.objects.bulk_create(
        kept,
        update_conflicts=True,
        unique_fields=("process", "application"),
        update_fields=("number", "counts", "grew_at"),
    )
    return _write(grown, gaps=gaps, at=start_of_step(now, step_s=STEP_S))


def _parts(documents: Iterable[Document]) -> Iterator[tuple[Document, str, Vectors]]:
    for document in documents:
        for name, vectors in document["applications"].items():
            yield document, name, vectors


def _growth(before: Vectors, after: Vectors) -> dict[str, list[int]]:
    """Return what has grown, by arm and "" for all; another release's layout is left out."""
    found = {}
    for arm, counts in after.items():
        earlier = before.get(arm, ())
        added = growth(() if went_back(earlier, counts) else earlier, counts)
        if any(added) and len(added) == LENGTH:
            found[arm] = added
    return found


def _write(
    grown: Mapping[int, dict[str, OutcomeCounts]], *, gaps: Mapping[int, int], at: datetime
) -> int:
    changed = grown.keys() | gaps.keys()
    found = TrafficRow.objects.filter(application__in=changed, step_s=STEP_S, at=at)
    rows = {row.application_id: row for row in found}
    for key in changed:
        row = rows.setdefault(key, TrafficRow(application_id=key, step_s=STEP_S, at=at))
        row.gaps += gaps.get(key, 0)
        row.set_counts(row.counts(grown.get(key)))
    _save([*rows.values()])
    return len(rows)


def _save(rows: Collection[TrafficRow]) -> None:
    for row in rows:
        row.pk = None  # known by its step, be it new or not
    fields = (*OUTCOMES, "gaps", "latency", "defaults", "versions")
    TrafficRow.objects.bulk_create(
        rows,
        batch_size=100,
        update_conflicts=True,
        unique_fields=("application", "step_s", "at"),
        update_fields=fields,
    )


def start_of_step(moment: datetime, *, step_s: int) -> datetime:
    """Return the beginning of the step that a moment lies in."""
    return datetime.fromtimestamp(int(moment.timestamp()) // step_s * step_s, tz=moment.tzinfo)


# --- thinning -----------------------------------------------------------------------------------


def thin_traffic() -> int:
    """Merge the rows that have grown old, and drop the oldest; return how many have gone."""
    with exclusively(THINNING_LOCK, ttl_s=60.0) as lock:
        if lock is None:
            return 0
        living = cast("list[bytes]", redis_client().zrange(TRAFFIC.index, 0, -1))
        return thin(now=timezone.now(), living=[process_id.decode() for process_id in living])


def thin(*, now: datetime, living: Iterable[str] = ()) -> int:
    """Apply the rules to the rows of all applications, and forget processes long gone."""
    gone = sum(_merge_old(step_s=step_s, before=now - after) for step_s, after in RULES)
    stale = TrafficReading.objects.filter(grew_at__lt=now - READINGS_KEPT)
    stale.exclude(process__in=living).delete()
    return gone + TrafficRow.objects.filter(at__lt=now - KEPT).delete()[0]


@transaction.atomic
def _merge_old(*, step_s: int, before: datetime) -> int:
    """Merge some finer rows of steps that have ended for good; return how many have gone."""
    end = start_of_step(before, step_s=step_s)
    finer = TrafficRow.objects.filter(step_s__lt=step_s, at__lt=end)
    rows = list(finer.order_by("application", "at", "step_s")[:2_000])
    merged = []
    for (key, at), group in groupby(
        rows, lambda row: (row.application_id, start_of_step(row.at, step_s=step_s))
    ):
        known = TrafficRow.objects.filter(application=key, step_s=step_s, at=at).first()
        row = known or TrafficRow(application_id=key, step_s=step_s, at=at)
        counts = row.counts()
        for part in group:
            row.gaps += part.gaps
            part.counts(counts)
        row.set_counts(counts)
        merged.append(row)
    _save(merged)
    TrafficRow.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows) - len(merged)
