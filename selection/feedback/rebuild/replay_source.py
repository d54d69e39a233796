"""Feedback as a replay takes it: from the database, and from the stream that leads there."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from django.db.models import Max, Min

from selection.feedback.events import FeedbackEvent, ResetEvent
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
    updates = map(_of_row, rows.iterator(chunk_size=2000))
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
            asked = [(arm.arm, arm.propensity, arm.loss) for arm in event.arms]
            at, answer = event.received_at_ms / 1000, event.answer
            yield _kept(event, position, asked=asked, at=at, gone=gone, answer=answer)


def _of_row(row: Feedback) -> KeptUpdate:
    asked = [(arm["arm"], arm["propensity"], arm["loss"]) for arm in row.arms]
    at, answer = row.received_at.timestamp(), row.answer and AnswerSeen(*row.answer)
    return _kept(row, row.position, asked=asked, at=at, gone=row.gone, answer=answer)


def _kept(
    one: Feedback | FeedbackEvent,
    position: int,
    *,
    asked: Iterable[tuple[str, float, float | None]],
    **own: Any,
) -> KeptUpdate:
    return KeptUpdate(
        position=position,
        context=one.context,
        losses={arm: loss for arm, _, loss in asked if loss is not None},
        propensities={arm: propensity for arm, propensity, _ in asked},
        routed=one.routed,
        features=one.features,
        key=one.key,
        overlap=one.overlap,
        forced=one.forced,
        **own,
    )
