"""Feedback as a replay takes it: from the database, and from the stream that leads there."""

import heapq
from collections.abc import Iterable, Iterator

import msgspec
from django.db.models import Max, Min

from selection.feedback.events import ResetEvent
from selection.feedback.persistence.stream import StreamEntry, read_entry
from selection.feedback.rebuild.replay import Entry, KeptUpdate, Reset
from selection.models import Feedback, StateReset
from selection.policies.arithmetic.answer_sums import AnswerSeen

READ = (
    *("position", "received_at", "context", "key", "arms", "routed", "features", "overlap"),
    *("forced", "gone", "answer"),
)


def from_database(application_id: int, *, after: int, up_to: int) -> Iterator[Entry]:
    """Yield, in order, what is kept at positions above `after` and up to `up_to`."""
    span = {"application_id": application_id, "position__gt": after, "position__lte": up_to}
    rows = Feedback.objects.filter(forced=False, **span).order_by("position", "id").only(*READ)
    resets = StateReset.objects.filter(**span).order_by("position")
    updates = (_kept_update(row) for row in rows.iterator(chunk_size=2000))
    return heapq.merge(
        updates,
        (Reset(position=r.position, context=None if r.everywhere else r.context) for r in resets),
        key=lambda entry: entry.position,
    )


def last_position(application_id: int) -> int:
    """Return the last position that the database knows of an application; 0 where it knows none."""
    return max(
        kind.objects.filter(application_id=application_id).aggregate(last=Max("position"))["last"]
        or 0
        for kind in (Feedback, StateReset)
    )


def first_position(application_id: int) -> int | None:
    """Return the first position that is kept; what pruning takes out was before it."""
    rows = Feedback.objects.filter(application_id=application_id)
    first: int | None = rows.aggregate(first=Min("position"))["first"]
    return first


def from_stream(entries: Iterable[StreamEntry], *, application_id: int) -> Iterator[Entry]:
    """Yield the entries of the stream; those that can't be read never become rows."""
    for entry in entries:
        try:
            position, event, gone = read_entry(entry)
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if event.application_id != application_id:
            continue
        if isinstance(event, ResetEvent):
            yield Reset(position=position, context=event.context)
        else:
            yield KeptUpdate(
                position=position,
                at=event.received_at_ms / 1000,
                context=event.context,
                losses={a.arm: a.loss for a in event.arms if a.loss is not None},
                propensities={a.arm: a.propensity for a in event.arms},
                routed=event.routed,
                features=event.features,
                key=event.key,
                overlap=event.overlap,
                forced=event.forced,
                gone=gone,
                answer=event.answer,
            )


def _kept_update(row: Feedback) -> KeptUpdate:
    return KeptUpdate(
        position=row.position,
        at=row.received_at.timestamp(),
        context=row.context,
        losses={a["arm"]: a["loss"] for a in row.arms if a["loss"] is not None},
        propensities={a["arm"]: a["propensity"] for a in row.arms},
        routed=row.routed,
        features=row.features,
        key=row.key,
        overlap=row.overlap,
        forced=row.forced,
        gone=row.gone,
        answer=row.answer and AnswerSeen(*row.answer),
    )
