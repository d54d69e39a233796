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
from serving.traffic.outcome_counts import OUTCOMES, Calls, OutcomeCounts, dense, sparse

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
            if added:
                _add(grown[application_id], added)
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


def _add(total: dict[str, OutcomeCounts], added: Mapping[str, Sequence[int]]) -> None:
    for arm, counts in added.items():
        total.setdefault(arm, OutcomeCounts()).add(OutcomeCounts.of(counts))


def _write(
    grown: Mapping[int, Mapping[str, OutcomeCounts]], *, gaps: Mapping[int, int], at: datetime
) -> int:
    changed = grown.keys() | gaps.keys()
    found = TrafficRow.objects.filter(application__in=changed, step_s=STEP_S, at=at)
    rows = {row.application_id: row for row in found}
    for application_id in changed:
        row = rows.setdefault(
            application_id, TrafficRow(application_id=application_id, step_s=STEP_S, at=at)
        )
        _set(row, counts=[counts_of(row), grown.get(application_id, {})])
        row.gaps += gaps.get(application_id, 0)
    _save([*rows.values()])
    return len(rows)


def counts_of(row: TrafficRow) -> dict[str, OutcomeCounts]:
    """Return a row's counts, by arm and of the application as ""."""
    own = {name: getattr(row, name) for name in OUTCOMES}
    return {
        "": OutcomeCounts(**own, latency=dense(row.latency), defaults=dense(row.defaults)),
        **{
            arm: OutcomeCounts(
                **dict(zip(OUTCOMES, counts["outcomes"], strict=True)),
                latency=dense(counts["latency"]),
                calls=Calls(*counts["calls"]),
            )
            for arm, counts in row.versions.items()
        },
    }


def _set(row: TrafficRow, *, counts: Iterable[Mapping[str, OutcomeCounts]]) -> None:
    """Write the sum of these counts into a row."""
    total: dict[str, OutcomeCounts] = {"": OutcomeCounts()}
    for part in counts:
        for arm, of_arm in part.items():
            total.setdefault(arm, OutcomeCounts()).add(of_arm)
    own = total.pop("")
    for name, number in own.by_outcome().items():
        setattr(row, name, number)
    row.latency, row.defaults = sparse(own.latency), sparse(own.defaults)
    row.versions = {
        arm: {
            "outcomes": [*of_arm.by_outcome().values()],
            "calls": of_arm.calls,
            "latency": sparse(of_arm.latency),
        }
        for arm, of_arm in total.items()
    }


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
    for (application_id, at), group in groupby(
        rows, lambda row: (row.application_id, start_of_step(row.at, step_s=step_s))
    ):
        keys = {"application_id": application_id, "step_s": step_s, "at": at}
        row = TrafficRow.objects.filter(**keys).first() or TrafficRow(**keys)
        parts = list(group)
        row.gaps += sum(part.gaps for part in parts)
        _set(row, counts=map(counts_of, [row, *parts]))
        merged.append(row)
    _save(merged)
    TrafficRow.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows) - len(merged)
