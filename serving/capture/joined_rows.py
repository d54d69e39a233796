"""Captured queries joined with what feedback said of them, as a kind of exported rows."""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from django.db.models import OuterRef, Subquery

from core.errors import InvalidReceipt
from registry.models import Application
from selection.evaluation.stored_rows import (
    KINDS,
    ExportSpan,
    Page,
    RowKind,
    Values,
    one_line,
    page_of,
)
from selection.models import Feedback
from selection.receipts import read_unverified
from serving.capture.models import CapturedInput
from serving.capture.sampling import UNREADABLE

COLUMNS = (
    *("query", "asked_at", "received_at", "context", "key", "version", "propensity"),
    *("propensities", "chance", "input", "output", "outputs", "cause", "label", "reward"),
)
FIELDS = ("id", "at", "query_id", "nonce", "context", "key", "chance", "cause", "label")
BODY = ("uid", "body", "segment_id")


def add_kind() -> None:
    """Have the export offer joined rows."""
    KINDS["joined"] = RowKind(
        words="each captured query with its input, answers and chances, and what was said of it",
        columns=COLUMNS,
        page=_joined,
        permission="capture.view_capturedinput",
    )


def _joined(application: Application, wanted: ExportSpan) -> Page:
    said = Feedback.objects.filter(application=application, nonce=OuterRef("nonce"))
    rows = CapturedInput.objects.filter(application=application).values(
        *FIELDS,
        *BODY,
        said=Subquery(said.values("label")[:1]),
        reward=Subquery(said.values("reward")[:1]),
        received_at=Subquery(said.values("received_at")[:1]),
    )
    return page_of(rows, wanted, shaped=_shaped, by="at")


def _shaped(row: Mapping[str, Any]) -> Iterator[Values]:
    """Yield the row, unless it can't be read."""
    # Predict processes know this kind of rows too, but have no use for artifacts.
    from serving.capture.segments import SegmentUnreadable, body_of

    try:
        body = body_of(CapturedInput(pk=row["id"], **{name: row[name] for name in BODY}))
        asked = read_unverified(row["query_id"]).arms if row["query_id"] else ()
    except (SegmentUnreadable, zlib.error, InvalidReceipt, *UNREADABLE):
        return
    chances = {arm.arm: arm.propensity for arm in asked}
    (version, propensity), *others = chances.items() or [(None, None)]
    yield {
        "query": row["nonce"],
        "asked_at": row["at"],
        "received_at": row["received_at"],
        "context": row["context"],
        "key": row["key"],
        # Of several that were asked none is the version that answered.
        "version": None if others else version,
        "propensity": None if others else propensity,
        "propensities": chances,
        "chance": row["chance"],
        "input": one_line(bytes(body.input)),
        "output": one_line(bytes(body.output)),
        "outputs": one_line(msgspec.json.encode(body.outputs)),
        "cause": row["cause"],
        # A person's label goes before that of feedback.
        "label": one_line(row["label"] or row["said"]),
        "reward": row["reward"],
    }
