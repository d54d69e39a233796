"""Stored rows as other programs read them: feedback, decisions, the sample of predictions.

Rooms above this one add kinds of their own to `KINDS`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from django.db.models import Model, Q, QuerySet

from core.errors import BadRequest, Conflict
from core.redis.redis_client import redis_client
from registry.following.reading import application_spec
from registry.models import Application, ModelVersion
from selection.evaluation.logged import Outputs, answer_rule_of, logged
from selection.kinds import INPUT
from selection.models import Feedback
from selection.store.input_samples import ROWS, kept_inputs

PAGE_ROWS, MOST_ROWS = 1000, 10_000
# A page ends with the row of the database that goes beyond this.
PAGE_BYTES = 4 << 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Values = dict[str, Any]
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpan:
    """The rows to return: those of a time, of some versions or all."""

    kind: str
    since: datetime | None = None
    until: datetime | None = None
    versions: frozenset[str] = frozenset()
    cursor: str = ""
    limit: int = PAGE_ROWS


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order of the kind's columns; `next` is None on the last page."""

    rows: list[Values]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKind:
    """One kind of rows, with the columns of each. Those in `JSON_COLUMNS` hold any JSON.

    People need the `permission` beside that for feedback.
    """

    words: str
    columns: tuple[str, ...]
    page: Callable[[Application, ExportSpan], Page]
    permission: str = ""


JSON_COLUMNS = frozenset(
    {"input", "output", "outputs", "propensities", "label", "features", "metrics", "routed"}
)
FIELDS = (
    *("id", "nonce", "issued_at", "received_at", "kind", "context", "key", "label", "reward"),
    *("arms", "routed", "features", "metrics", "forced", "held_out", "defaulted"),
)


# --- Feedback and decisions ---------------------------------------------------------------------


def _feedback(application: Application, wanted: ExportSpan) -> Page:
    def shaped(row: Mapping[str, Any]) -> Iterator[Values]:
        for arm in row["arms"]:
            values = {
                **row,
                **_beginning(row),
                "source": row["kind"],
                "version": arm["arm"],
                "propensity": arm["propensity"],
                "output": one_line(arm["output"]),
                "label": one_line(row["label"]),
                "loss": arm["loss"],
            }
            yield {name: values[name] for name in KINDS["feedback"].columns}

    rows = Feedback.objects.filter(application=application)
    return page_of(rows.values(*FIELDS), wanted, shaped=shaped)


def _decisions(application: Application, wanted: ExportSpan) -> Page:
    """Leave out what tells nothing of a policy's draw: several arms asked, or a forced one."""
    outputs, rule = Outputs(), answer_rule_of(application_spec(application))

    def shaped(row: Mapping[str, Any]) -> Iterator[Values]:
        query = logged(row, outputs=outputs, rule=rule)
        if query is not None and query.judges_arms and len(query.asked) == 1:
            (arm,) = query.asked
            yield {
                **_beginning(row),
                "version": arm.arm,
                "propensity": arm.propensity,
                "reward": arm.reward,
                "routed": list(dict.fromkeys((*query.routed, arm.arm))),
                "features": query.features,
            }

    rows = Feedback.objects.filter(application=application, forced=False).exclude(kind=INPUT)
    return page_of(rows.values(*FIELDS), wanted, shaped=shaped)


def _beginning(row: Mapping[str, Any]) -> Values:
    return {
        "query": row["nonce"],
        "asked_at": row["issued_at"],
        "received_at": row["received_at"],
        "context": row["context"],
    }


def page_of(
    rows: QuerySet[M, dict[str, Any]],
    wanted: ExportSpan,
    *,
    shaped: Callable[[Mapping[str, Any]], Iterable[Values]],
    by: str = "received_at",
) -> Page:
    """Return the next page of stored rows in the order of a time, which they have beside `id`."""
    found: list[Values] = []
    size = 0
    stored = _in_order(rows, wanted, by=by).iterator(chunk_size=200)
    for looked_at, row in enumerate(stored, start=1):
        for values in shaped(row):
            asked = values.get("propensities") or (values["version"],)
            if not wanted.versions or not wanted.versions.isdisjoint(asked):
                found.append(values)
                size += sum(len(bytes(x)) for x in values.values() if isinstance(x, msgspec.Raw))
        if looked_at == wanted.limit or size > PAGE_BYTES:
            moment = (row[by] - EPOCH) // timedelta(microseconds=1)
            return Page(found, f"{moment}-{row['id']}")
    return Page(found, None)


def _in_order(
    rows: QuerySet[M, dict[str, Any]], wanted: ExportSpan, *, by: str
) -> QuerySet[M, dict[str, Any]]:
    """Return the rows after the cursor, in the order in which they came."""
    if wanted.since is not None:
        rows = rows.filter(**{f"{by}__gte": wanted.since})
    if wanted.until is not None:
        rows = rows.filter(**{f"{by}__lt": wanted.until})
    if wanted.cursor:
        at, number = _place(wanted.cursor)
        # The first condition says nothing new, but an index answers it.
        after = Q(**{f"{by}__gt": at}) | Q(**{by: at, "id__gt": number})
        rows = rows.filter(after, **{f"{by}__gte": at})
    return rows.order_by(by, "id")


def _place(cursor: str) -> tuple[datetime, int]:
    """Return when the row came that a cursor names, and its number."""
    microseconds, _, number = cursor.partition("-")
    try:
        if len(number) > 18 or not (number.isascii() and number.isdigit()):
            raise ValueError
        return EPOCH + timedelta(microseconds=int(microseconds)), int(number)
    except (ValueError, OverflowError):
        raise _not_a(cursor) from None


def _not_a(cursor: str) -> BadRequest:
    return BadRequest(f"cursor: Expected that of the page before, got {cursor[:60]!r}.")


# --- The sample of predictions ------------------------------------------------------------------


def _predictions(application: Application, wanted: ExportSpan) -> Page:
    """Return whole samples, version by version. Nothing tells when they were taken."""
    if not application.keep_inputs:
        raise Conflict(
            f"{application.name} keeps no inputs, so there is no sample of its predictions: "
            "set keep_inputs, and one is kept from then on.",
            application=application.name,
        )
    if wanted.since is not None or wanted.until is not None:
        raise BadRequest("since, until: Expected neither: samples don't tell when they were taken.")
    arms = [arm for arm in _arms_of(application) if not wanted.versions or arm in wanted.versions]
    if wanted.cursor and wanted.cursor not in arms:
        raise _not_a(wanted.cursor)
    found: list[Values] = []
    size = 0
    for arm in arms[arms.index(wanted.cursor) if wanted.cursor else 0 :]:
        if size > PAGE_BYTES:
            return Page(found, arm)
        sample = kept_inputs(redis_client(), application_id=application.pk, arm=arm, most=ROWS)
        for given, output in sample:
            found.append({"version": arm, "input": one_line(given), "output": one_line(output)})
            size += len(given) + len(output)
    return Page(found, None)


def _arms_of(application: Application) -> list[str]:
    versions = ModelVersion.objects.filter(model__routes__application=application).distinct()
    return sorted(
        f"{model}:{name}" for model, name in versions.values_list("model__name", "version")
    )


# --- As text ------------------------------------------------------------------------------------


def one_line(text: str | bytes | None) -> msgspec.Raw | None:
    """Return JSON as it is, in one line; None for none."""
    if not text:
        return None
    return msgspec.Raw(
        msgspec.json.format(text.encode() if isinstance(text, str) else text, indent=-1)
    )


_COLUMNS = ("query", "asked_at", "received_at", "context")
KINDS = {
    "feedback": RowKind(
        words="each piece of feedback, a row for each version that was asked",
        columns=(
            *_COLUMNS,
            *("key", "source", "version", "propensity", "output", "label", "reward", "loss"),
            *("routed", "features", "metrics", "forced", "held_out", "defaulted"),
        ),
        page=_feedback,
    ),
    "decisions": RowKind(
        words="each query with feedback that asked one version, with what that earned",
        columns=(*_COLUMNS, "version", "propensity", "reward", "routed", "features"),
        page=_decisions,
    ),
    "predictions": RowKind(
        words="the sample of inputs and outputs that an application with keep_inputs keeps",
        columns=("version", "input", "output"),
        page=_predictions,
    ),
}
