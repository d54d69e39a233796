"""Reads kept feedback as a log: the latest of an application, or of one of its contexts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from selection.evaluation.logged import COLUMNS, AnswerRule, LoggedQuery, Outputs, logged
from selection.kinds import INPUT
from selection.models import Feedback


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFeedback:
    """Feedback read, oldest first. `whole` tell nothing of one arm."""

    queries: tuple[LoggedQuery, ...]
    whole: tuple[LoggedQuery, ...]
    since: datetime | None
    until: datetime | None
    more: bool
    others: bool


def kept_feedback(application_id: int, *, span: Span, rule: AnswerRule) -> KeptFeedback:
    """Return the feedback of a span; rows whose caller chose the version aren't among it."""
    read: list[LoggedQuery] = []
    times: list[datetime] = []
    outputs, more = Outputs(), False
    rows = _of(application_id, span=span, inputs=span.inputs).order_by("-position", "-id")
    # One more than wanted tells whether there are more.
    for row in rows.values(*COLUMNS, "received_at")[: span.rows + 1].iterator(chunk_size=2000):
        # Limit of all logged outputs together; older rows are left out beyond it.
        if len(read) == span.rows or outputs.size > (64 << 20):
            more = True
            break
        query = logged(row, outputs=outputs, rule=rule)
        if query is not None:
            read.append(query)
            times.append(row["received_at"])
    read.reverse()
    # Rewards of single arms and one of the answer as a whole look alike where all arms' are the
    # same; an application whose callers tell those of single arms shows it in other rows.
    by_arm = any(_is_by_arm(query) for query in read)

    def left_out(query: LoggedQuery) -> bool:
        return not query.judges_arms or (_is_whole(query) and not by_arm)

    return KeptFeedback(
        queries=tuple(query for query in read if not left_out(query)),
        whole=tuple(query for query in read if left_out(query) and query.reward is not None),
        since=times[-1] if times else None,
        until=times[0] if times else None,
        more=more,
        others=_of(application_id, span=span, inputs=not span.inputs).exists(),
    )


def _of(application_id: int, *, span: Span, inputs: bool) -> QuerySet[Feedback]:
    kind = Q(kind=INPUT)
    rows = Feedback.objects.filter(
        kind if inputs else ~kind, application_id=application_id, forced=False
    )
    if span.context is not None:
        rows = rows.filter(context=span.context)
    if span.since is not None:
        rows = rows.filter(received_at__gte=span.since)
    if span.until is not None:
        rows = rows.filter(received_at__lt=span.until)
    return rows


def _is_whole(query: LoggedQuery) -> bool:
    return query.label is None and len(query.asked) > 1


def _is_by_arm(query: LoggedQuery) -> bool:
    """Return whether arms that answered were given different rewards."""
    losses = {arm.loss for arm in query.asked if arm.output is not None}
    return _is_whole(query) and len(losses) > 1


USUAL_ROWS = 20_000
MOST_ROWS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The latest `rows` of an application or a context: queries, or else labelled `inputs`."""

    rows: int = USUAL_ROWS
    context: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    inputs: bool = False
