"""Stored rows out of Clipper: feedback, decisions, and the sample of predictions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from clipper_client.operations.options import given
from clipper_client.operations.predictions import application_path
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Operation, Request, Response, Work

Moment = str | date | timedelta | None
KINDS = ("feedback", "decisions", "predictions")
PAGE_ROWS = 5000
JSON, JSON_LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
TIMES = ("asked_at", "received_at")


class Page(NamedTuple):
    """A page as the server wrote it, and the path of the next one, None after the last."""

    body: bytes
    next: str | None


def first_page(
    name: str,
    *,
    kind: str,
    since: Moment = None,
    until: Moment = None,
    versions: Iterable[str] = (),
) -> str:
    """Return the path of the first page."""
    if isinstance(versions, str):
        versions = (versions,)
    asked = given({"kind": kind, "since": _text_of(since), "until": _text_of(until)})
    query = urlencode(
        [*asked.items(), *(("version", v) for v in versions), ("limit", str(PAGE_ROWS))]
    )
    return f"{application_path(name, 'export')}?{query}"


def page(path: str, *, accept: str, policy: RetryPolicy) -> Operation[Page]:
    asked = Request(method="GET", path=path, headers={"accept": accept})
    response: Response = yield from ask(asked, policy=policy)
    link = response.headers.get("link")
    return Page(response.body, link and link[link.index("<") + 1 : link.index(">")])


def export(
    name: str,
    *,
    since: Moment = None,
    until: Moment = None,
    versions: Iterable[str] = (),
    kinds: str | Iterable[str] = "feedback",
    frame: bool = True,
    policy: RetryPolicy,
) -> Operation[Any]:
    """Return all rows: as a frame, or as a list of dicts."""
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    columns = dict.fromkeys(["kind"] if len(wanted) > 1 else [])
    rows: list[dict[str, Any]] = []
    for kind in wanted:
        path: str | None = first_page(name, kind=kind, since=since, until=until, versions=versions)
        beginning = {"kind": kind} if len(wanted) > 1 else {}
        while path is not None:
            body, path = yield from page(path, accept=JSON, policy=policy)
            found = msgspec.json.decode(body)
            columns |= dict.fromkeys(found["columns"])
            rows += [beginning | row for row in found["rows"]]
    if not frame:
        return rows
    return (yield Work(lambda: _frame_of(rows, columns=list(columns))))


def _frame_of(rows: list[dict[str, Any]], *, columns: list[str]) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "A frame takes pandas: `pip install pandas`, or frame=False for a list of dicts."
        ) from error
    found = pd.DataFrame(rows, columns=columns)
    for column in TIMES:
        if column in found:
            found[column] = pd.to_datetime(found[column], utc=True, format="ISO8601")
    return found


def _text_of(moment: Moment) -> str | None:
    """Return a time as the server reads it; one without a zone is of the local zone."""
    if isinstance(moment, timedelta):
        moment = datetime.now(UTC) - moment
    elif isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if isinstance(moment, datetime):
        return moment.astimezone().isoformat()
    return moment
