"""Stored rows out of Clipper: feedback, decisions, and the sample of predictions."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from clipper_client.options import Moment, application_path, given
from clipper_client.transport.remote_server import Server

PAGE_ROWS = 5000
KINDS = ("feedback", "decisions", "predictions")
JSON, JSON_LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
TIMES = ("asked_at", "received_at")


def first_page(
    name: str,
    *,
    kind: str,
    since: Moment = None,
    until: Moment = None,
    versions: str | Iterable[str] = (),
) -> str:
    if isinstance(versions, str):
        versions = (versions,)
    said = given({"kind": kind, "since": _text_of(since), "until": _text_of(until)})
    chosen = [("version", version) for version in versions]
    query = urlencode([*said.items(), *chosen, ("limit", str(PAGE_ROWS))])
    return f"{application_path(name, 'export')}?{query}"


async def page(server: Server, path: str, *, accept: str) -> tuple[bytes, str | None]:
    """Return a page as the server wrote it, and the path of the next one."""
    response = await server.ask("GET", path, headers={"accept": accept})
    link = response.headers.get("link")
    return response.content, link and link[link.index("<") + 1 : link.index(">")]


async def export(
    server: Server, name: str, *, kinds: str | Iterable[str], frame: bool, **span: Any
) -> Any:
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    columns = dict.fromkeys(["kind"] if len(wanted) > 1 else [])
    rows: list[dict[str, Any]] = []
    for kind in wanted:
        path: str | None = first_page(name, kind=kind, **span)
        beginning = {"kind": kind} if len(wanted) > 1 else {}
        while path is not None:
            body, path = await page(server, path, accept=JSON)
            found = msgspec.json.decode(body)
            columns |= dict.fromkeys(found["columns"])
            rows += [beginning | row for row in found["rows"]]
    if not frame:
        return rows
    return await server.work(lambda: _frame_of(rows, columns=list(columns)))


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
    return moment.astimezone().isoformat() if isinstance(moment, datetime) else moment
